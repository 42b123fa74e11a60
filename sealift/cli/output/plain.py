"""Plain lines for pipes, files and CI."""

import sys

from sealift.cli.output.lines import LineOutput
from sealift.client.context import size_text

_MARKS = {"good": "ok    ", "bad": "FAILED  ", "stopped": "ended  ", "": ""}


class PlainOutput(LineOutput):
    """Lines without colours and without a progress line."""

    def __init__(self) -> None:
        super().__init__()
        self._finished: set[str] = set()

    def _line(self, text: str, style: str = "", mark: str = "") -> None:
        sys.stderr.write(f"{_MARKS[mark]}{text}\n")
        sys.stderr.flush()

    def progress(self, what: str, done: int, total: int) -> None:
        """One line when the upload is complete."""
        if done >= total and what != "packed" and what not in self._finished:
            self._finished.add(what)
            self._line(f"{what}: {size_text(total)}")
