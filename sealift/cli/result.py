"""The last line of `--json`: the result, which a failed command always prints."""

import sys
from collections.abc import Sequence

from sealift.cli.exit_codes import ExitCode


class Result:
    """The result of the command that this process runs. It is written once."""

    def __init__(self) -> None:
        self._is_wanted = False
        self._is_written = False

    def begin(self, args: Sequence[str]) -> None:
        """Start a command line. --json is searched in the raw arguments, because parsing may fail."""
        own = args[: args.index("--")] if "--" in args else args
        self._is_wanted, self._is_written = "--json" in own, False

    def write(self, **values: object) -> None:
        """Write the result. The caller knows that --json was given."""
        import json

        self._is_written = True
        sys.stdout.write(json.dumps({"event": "result", **values}, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def fail(self, exit_code: int, *, code: str, message: str, field: str = "") -> None:
        """Write the result of a failed command, if --json was given and none was written."""
        if self._is_wanted and not self._is_written:
            self.write(status="error", exit_code=int(exit_code), code=code, message=message, field=field)

    def complete(self, exit_code: int) -> None:
        """Write a result if --json was given, the command failed, and none was written."""
        if self._is_wanted and not self._is_written and exit_code:
            status = "interrupted" if exit_code == ExitCode.INTERRUPTED else "error"
            self.write(status=status, exit_code=int(exit_code))


RESULT = Result()
