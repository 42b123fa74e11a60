"""Replaces stdout and stderr: a failed write to stdout raises `OutputError`, one to stderr is ignored.

stdout contains data, so a lost write must not look like success. stderr is for people, and a deploy does not fail
because its log file is full. Characters that the terminal's encoding lacks are escaped.
"""

import errno
import io
import os
import sys
from typing import TextIO

_STDIN, _STDOUT, _STDERR = range(3)


class OutputError(Exception):
    """stdout can't be written. Not an OSError, so that it is not mistaken for an error of the work itself.

    Attributes:
        reason: e.g. "No space left on device"; "" if the reader has exited, which is not a fault.
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


class _Messages(io.FileIO):
    """stderr."""

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError:
            return len(data)


def guard() -> None:
    """Replace the process's streams. Call once, before anything is opened.

    A closed stream's descriptor is filled with /dev/null in the wrong mode; otherwise the next connection would get the
    descriptor, and receive what is printed.
    """
    for number in (_STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if number == _STDIN else os.O_RDONLY)
    if sys.stdin is None:
        sys.stdin = open(_STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115 - kept to the end
    sys.stdout = _text(_Data(_STDOUT, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Messages(_STDERR, "w", closefd=False), sys.stderr)


def _text(raw: io.FileIO, before: TextIO | None) -> TextIO:
    is_for_people = raw.fileno() == _STDERR or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), before.encoding if before else "utf-8", "backslashreplace", line_buffering=is_for_people
    )
