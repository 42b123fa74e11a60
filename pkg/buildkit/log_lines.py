"""Splits output, which comes in chunks of bytes, into lines to store: redacted, valid text, bounded each and in all."""

import re
from collections import deque

from pkg.output.redact import Redactor, shapes
from pkg.telemetry.events import MAX_LINE_BYTES, BuildLine, LogStream

MAX_BUILD_LINES = 200_000
MAX_BUILD_BYTES = 64 << 20
TAIL_LINES = 1_000
TAIL_BYTES = 1 << 20
_MARK_BYTES = 64

# Titles of windows and addresses of links (OSC, to its end with BEL or ST) say nothing in a log.
_FOR_TERMINALS = re.compile(rb"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# Terminal colours (escape) and tabs stay; other control characters of binary output have no meaning in a line.
_CONTROLS = {n: "\ufffd" for n in (*range(32), 127) if chr(n) not in "\t\x1b"}


class LineSplitter:
    """One stream of one step. `feed` it chunks, `finish` it at the end.

    A line is at most 16 KiB of UTF-8; of a longer one the beginning is kept and a mark says how long it was. Text
    that a terminal would have overwritten (carriage return) is dropped.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        # room for a secret that starts inside the part that is kept
        self._limit = MAX_LINE_BYTES + redactor.reach
        self._rest = bytearray()
        self._length = 0

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that this chunk completes."""
        *ended, rest = chunk.split(b"\n")
        lines = []
        for piece in ended:
            self._add(piece)
            lines.append(self._take())
        self._add(rest)
        return lines

    def finish(self) -> list[str]:
        """The last line, when it had no newline."""
        return [self._take()] if self._length else []

    def _add(self, piece: bytes) -> None:
        if len(self._rest) + len(piece) > self._limit:
            # a progress bar: of what a terminal overwrites only the last state counts
            joined = bytes(self._rest) + piece
            overwritten = joined.rstrip(b"\r").rfind(b"\r") + 1
            if overwritten:
                piece = joined[overwritten:]
                self._rest.clear()
                self._length = 0
        self._length += len(piece)
        self._rest += piece[: max(0, self._limit - len(self._rest))]

    def _take(self) -> str:
        raw, length = bytes(self._rest).rstrip(b"\r"), self._length
        self._rest.clear()
        self._length = 0
        # before the redaction: what is left may be a secret that the sequence parted
        shown = _FOR_TERMINALS.sub(b"", raw.rsplit(b"\r", 1)[-1])
        text = shapes(self._redactor.data(shown).decode(errors="replace")).translate(_CONTROLS)
        whole = text.encode(errors="replace")
        if length <= self._limit and len(whole) <= MAX_LINE_BYTES:
            return text
        kept = whole[: MAX_LINE_BYTES - _MARK_BYTES].decode(errors="ignore")
        return f"{kept} [line cut: it has {length} bytes]"


class LogBudget:
    """The cap over all output of a build: the beginning as it comes, then only the end, with marks that say so.

    `admit` each line; `finish` returns what was kept of the end.
    """

    def __init__(self, max_lines: int = MAX_BUILD_LINES, max_bytes: int = MAX_BUILD_BYTES) -> None:
        self._lines_left = max(1, max_lines - TAIL_LINES)
        self._bytes_left = max(1, max_bytes - TAIL_BYTES)
        self._tail: deque[tuple[BuildLine, int]] = deque()
        self._tail_bytes = 0
        self._dropped_lines = 0
        self._dropped_bytes = 0
        self._over = False

    def admit(self, line: BuildLine) -> list[BuildLine]:
        """What to store now: the line; or the mark, once; or nothing."""
        size = len(line.text.encode(errors="replace")) + 1
        if not self._over:
            if self._lines_left > 0 and self._bytes_left >= size:
                self._lines_left -= 1
                self._bytes_left -= size
                return [line]
            self._over = True
            self._keep(line, size)
            return [mark("the log of this build has reached its limit: from here on only its last lines are kept")]
        self._keep(line, size)
        return []

    def finish(self) -> list[BuildLine]:
        """The end of a log that was too long, after a mark that says what is missing."""
        lines = [line for line, _ in self._tail]
        if self._dropped_lines:
            text = f"{self._dropped_lines} lines ({self._dropped_bytes} bytes) of output are left out here"
            lines.insert(0, mark(text))
        self._tail.clear()
        return lines

    def _keep(self, line: BuildLine, size: int) -> None:
        self._tail.append((line, size))
        self._tail_bytes += size
        while len(self._tail) > TAIL_LINES or self._tail_bytes > TAIL_BYTES:
            _, dropped = self._tail.popleft()
            self._tail_bytes -= dropped
            self._dropped_lines += 1
            self._dropped_bytes += dropped


def mark(text: str) -> BuildLine:
    """A line that Sealift adds to a build's log."""
    return BuildLine("", LogStream.SYSTEM, f"[{text}]")
