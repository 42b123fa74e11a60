"""The streams of the process: what can't be written to stdout is an error of its own, to stderr it is nothing.

stdout is data, so that losing some must not pass for success. stderr is for people, and a deploy does not fail because
its log file is full. Text that the terminal's encoding lacks is escaped, never an error.
"""

import errno
import io
import os
import sys
from typing import TextIO

_STDIN, _STDOUT, _STDERR = range(3)


class OutputError(Exception):
    """stdout can't be written. No OSError: it must not pass for one of the work that goes on.

    Attributes:
        reason: e.g. "No space left on device"; "" when the reader has gone, which is no fault.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Data(io.FileIO):
    """stdout."""

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:
            raise OutputError("") from None
        except OSError as error:
            reason = "it is not open" if error.errno == errno.EBADF else error.strerror
            raise OutputError(reason or str(error)) from None


class _Words(io.FileIO):
    """stderr."""

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError:
            return len(data)


def guard() -> None:
    """Take over the process's streams. Once, before anything is opened.

    Of those that are closed the number is taken by a file that can't be read or written: the next connection would get
    it otherwise, and with it what is printed.
    """
    for number in (_STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if number == _STDIN else os.O_RDONLY)
    if sys.stdin is None:
        sys.stdin = open(_STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115 - kept to the end
    sys.stdout = _text(_Data(_STDOUT, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Words(_STDERR, "w", closefd=False), sys.stderr)


def _text(raw: io.FileIO, before: TextIO | None) -> TextIO:
    is_for_people = raw.fileno() == _STDERR or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), before.encoding if before else "utf-8", "backslashreplace", line_buffering=is_for_people
    )
