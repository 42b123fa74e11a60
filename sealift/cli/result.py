"""The last line of `--json`: the result, of which a command that goes wrong always has one."""

import sys
from collections.abc import Sequence

from sealift.cli.exit_codes import ExitCode


class Result:
    """The result of the command that this process runs. It is told once."""

    def __init__(self) -> None:
        self._is_wanted = False
        self._is_written = False

    def begin(self, words: Sequence[str]) -> None:
        """A command line begins. Whether it asks for JSON is seen in its words, as it may not be understood at all."""
        own = words[: words.index("--")] if "--" in words else words
        self._is_wanted, self._is_written = "--json" in own, False

    def write(self, **values: object) -> None:
        """Write the result, which is known to be wanted."""
        import json

        self._is_written = True
        sys.stdout.write(json.dumps({"event": "result", **values}, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def fail(self, exit_code: int, *, code: str, message: str, field: str = "") -> None:
        """Write the result of a command that could not do what was asked, if one is wanted."""
        if self._is_wanted and not self._is_written:
            self.write(status="error", exit_code=int(exit_code), code=code, message=message, field=field)

    def complete(self, exit_code: int) -> None:
        """Write what is still missing when a command has ended in another way than well."""
        if self._is_wanted and not self._is_written and exit_code:
            status = "interrupted" if exit_code == ExitCode.INTERRUPTED else "error"
            self.write(status=status, exit_code=int(exit_code))


RESULT = Result()
