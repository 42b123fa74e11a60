"""Records of a runtime's log become lines, and a place in the log becomes text. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pkg.output.redact import MASK, Redactor
from pkg.telemetry.events import MAX_LINE_BYTES
from svc.krane.runtime.port import LogRecord

MAX_KEPT_BYTES = 1 << 20  # of one line
_SECOND_NS = 1_000_000_000
# The runtime is asked again from this much before the last line: times of two outputs may go back a little.
_OVERLAP_S = 1


@dataclass(frozen=True)
class Resume:
    """Where the log of an instance goes on.

    Attributes:
        since_s: epoch seconds from which the runtime is asked.
        taken: how many of the lines that it has from then on were taken already: the first ones.
        last_ns: the newest time of those.
    """

    since_s: int = 0
    taken: int = 0
    last_ns: int = 0

    @classmethod
    def parse(cls, text: str) -> "Resume":
        """What `to_text` wrote. "" is the begin. Raises ValueError."""
        return cls(*(int(part) for part in text.split(":"))) if text else cls()

    def to_text(self) -> str:
        """For `parse`."""
        return f"{self.since_s}:{self.taken}:{self.last_ns}"


class LogPosition:
    """Tells the lines that were taken before from new ones, and says where to resume after each.

    Attributes:
        missing: how many lines that were taken before the runtime has no longer: it may have dropped some after
            them, too.
    """

    def __init__(self, resume: Resume) -> None:
        self._resume = resume
        self._left = resume.taken
        self._last_ns = resume.last_ns
        self._since_s = resume.since_s
        self._second: int | None = None  # of the last new line
        self._counts: dict[int, int] = {}  # lines taken, by second, from `_since_s` on
        self.missing = 0

    def take(self, at_ns: int) -> bool:
        """Takes the next line of the runtime's; whether it is new."""
        second = at_ns // _SECOND_NS
        self._counts[second] = self._counts.get(second, 0) + 1
        if self._left and at_ns <= self._resume.last_ns:
            self._left -= 1
            return False
        self.missing, self._left = self.missing + self._left, 0
        self._last_ns = max(self._last_ns, at_ns)
        self._second = second
        return True

    def resume(self) -> Resume:
        """Behind the last line that was taken."""
        if self._second is None:
            return self._resume
        since_s = max(0, self._second - _OVERLAP_S)
        # Lines of before `_since_s` were not counted; only a clock that was set back leads there, and repeats some.
        self._since_s = since_s if self._second < self._since_s else max(since_s, self._since_s)
        self._counts = {second: count for second, count in self._counts.items() if second >= self._since_s}
        return Resume(self._since_s, sum(self._counts.values()), self._last_ns)


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line as the app printed it, without its newline; of a longer one the first MAX_KEPT_BYTES.

    Attributes:
        cut_bytes: how many more bytes the line has.
    """

    at_ns: int
    is_stderr: bool
    data: bytes
    cut_bytes: int = 0


@dataclass
class _Begun:
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    cut_bytes: int = 0

    def add(self, data: bytes) -> None:
        kept = data[: MAX_KEPT_BYTES - self.size]
        self.pieces.append(kept)
        self.size += len(kept)
        self.cut_bytes += len(data) - len(kept)


class LineAssembler:
    """Joins the records of long lines, for each output by itself."""

    def __init__(self) -> None:
        self._begun: dict[bool, _Begun] = {}

    def feed(self, records: Sequence[LogRecord]) -> list[RawLine]:
        """The lines that are complete with these records."""
        lines = []
        for at_ns, is_stderr, data, is_partial in records:
            begun = self._begun.get(is_stderr)
            if begun is None and not is_partial:
                lines.append(RawLine(at_ns, is_stderr, data))
                continue
            begun = begun or self._begun.setdefault(is_stderr, _Begun())
            begun.add(data)
            if not is_partial:
                del self._begun[is_stderr]
                lines.append(RawLine(at_ns, is_stderr, b"".join(begun.pieces), begun.cut_bytes))
        return lines


def texts(lines: Sequence[RawLine], redactor: Redactor) -> list[str]:
    """The text of each line, redacted. What is no UTF-8 is written as escapes.

    Lines are redacted together, so that also a long value that is broken over several of them is found.
    """
    whole = "\n".join(_text(line, redactor) for line in lines)
    if "\x1b" in whole:  # a value may be coloured in its middle
        whole = redactor.text(whole)
    redacted = redactor.block(whole).split("\n")
    if len(redacted) < len(lines):  # a mask took line breaks with it
        redacted += [MASK] * (len(lines) - len(redacted))
    return redacted


def pieces(text: str) -> list[str]:
    """The text in pieces that fit a stored line, none of which ends inside a character."""
    if len(text) <= MAX_LINE_BYTES // 4:
        return [text]
    data, found, at = text.encode(errors="replace"), [], 0
    while at < len(data):
        end = min(len(data), at + MAX_LINE_BYTES)
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        found.append(data[at:end].decode())
        at = end
    return found


def _text(line: RawLine, redactor: Redactor) -> str:
    data = line.data.removesuffix(b"\r").replace(b"\n", b"\\n")
    if not line.cut_bytes:
        return data.decode("utf-8", "backslashreplace")
    # A value that the cut would divide is not known as one.
    shown = redactor.data(data)[: len(data) - redactor.reach].decode("utf-8", "backslashreplace")
    return f"{shown}… (the line goes on for {line.cut_bytes + redactor.reach} bytes)"
