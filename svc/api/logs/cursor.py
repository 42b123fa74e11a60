"""How far a reader of a deployment's log is, for each of its sources. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pkg.errors import InvalidArgument
from pkg.telemetry import AppLine, SourceHead

MAX_SOURCES = 100  # of which a cursor's text says how far it is
MAX_CURSOR_CHARS = 8192
_VERSION = "1"
_CURSOR = re.compile(rf"{_VERSION}(?:-[0-9]{{1,16}})(?:_[a-z0-9]{{1,64}}-[0-9]{{1,18}}-[0-9]{{1,16}})*")


@dataclass
class LogCursor:
    """Behind which lines a reader is.

    Attributes:
        since: of sources that are not among `positions`, lines older than this (epoch ms) are left out.
        positions: by source: number and time of its last line that was read.
    """

    since: int = 0
    positions: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "LogCursor":
        """What `to_text` wrote. Raises InvalidArgument."""
        if len(text) > MAX_CURSOR_CHARS or not _CURSOR.fullmatch(text):
            raise InvalidArgument("after", f"{text[:40]!r} is no cursor that a line or an answer of this log had")
        head, *sources = text.split("_")
        positions = {source: (int(seq), int(at)) for source, seq, at in (each.split("-") for each in sources)}
        return cls(int(head.split("-")[1]), positions)

    def to_text(self) -> str:
        """For `parse`: of the sources that printed last. Older ones are covered by the time."""
        newest = sorted(self.positions.items(), key=lambda each: each[1][1])
        left_out, kept = newest[:-MAX_SOURCES], newest[-MAX_SOURCES:]
        since = max(self.since, left_out[-1][1][1] + 1) if left_out else self.since
        return "_".join([f"{_VERSION}-{since}", *(f"{source}-{seq}-{at}" for source, (seq, at) in kept)])

    def copy(self) -> "LogCursor":
        """One that goes on by itself."""
        return LogCursor(self.since, dict(self.positions))

    def is_behind(self, head: SourceHead) -> bool:
        """Whether the source has lines after it."""
        return head.seq > self.positions.get(head.source.source_id, (0, 0))[0]

    def is_before(self, line: AppLine) -> bool:
        """Whether the line is after it."""
        known = self.positions.get(line.source_id)
        return line.at >= self.since if known is None else line.seq > known[0]

    def pass_line(self, line: AppLine) -> None:
        """The line was read."""
        self.positions[line.source_id] = (line.seq, line.at)

    def pass_heads(self, heads: Iterable[SourceHead]) -> None:
        """Everything that these sources have was read, or is left out."""
        for head in heads:
            if head.seq and self.is_behind(head):
                self.positions[head.source.source_id] = (head.seq, head.at)
