"""Takes secrets out of everything that a builder or an app says, before it is stored or shown.

Known values by value, and unknown ones by shape: queries of URLs (that is where signatures are), passwords in
URLs, bearer tokens, keys of our own.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from pkg.output.forms import forms, lines

MASK = "***"
MIN_WRAPPED_BYTES = 16  # a value that long is also found when it is broken over lines
# Each costs time on every line of output: a key file has 30 to 100, a thousand are enough for all secrets of a build.
MAX_LINES = 1000

# Linear on any text: after a match has failed, no pattern looks at the same characters again from a later start.
_URL = re.compile(r"(?i)(https?://[^\s\"'?<>`]+)(\?[^\s\"'<>`]*)?")
_SHAPES = (
    (re.compile(r"(?i)(?<=[a-z0-9+.-]://)[^\s/\"'<>]+@"), f"{MASK}@"),
    (re.compile(r"(?i)\b(bearer|token|authorization: basic)([ :=]+)[A-Za-z0-9._~+/-]{16,}=*"), rf"\1\2{MASK}"),
    (re.compile(r"slk_[A-Za-z0-9_-]+"), MASK),
)
_HINTS = ("://", "slk_", "token", "bearer", "basic")
_BREAK = re.compile(rb"\r?\n[ \t]*")
_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-Z\\^-~])")


class Redactor:
    """Replaces secrets by "***". Pure; safe to share.

    Args:
        secrets: values; each in every form of `pkg.output.forms`, and the longest MAX_LINES of their lines.
    """

    def __init__(self, secrets: Iterable[bytes] = ()) -> None:
        values = set(secrets)
        single = sorted({line for value in values for line in lines(value)}, key=lambda line: (-len(line), line))
        found = {form for value in values for form in forms(value)}.union(single[:MAX_LINES])
        self._needles = sorted(found, key=len, reverse=True)
        self._wrapped = {_BREAK.sub(b"", n) for n in self._needles if len(n) >= MIN_WRAPPED_BYTES}
        # The longest one: who cuts text must redact that many bytes beyond the cut first.
        self.reach = len(self._needles[0]) if self._needles else 0

    def data(self, data: bytes) -> bytes:
        """`data` without the known values, coloured ones included. Not yet without the shapes: those need text."""
        if not self._needles:
            return data
        spans = list(_spans(data, self._needles))
        if b"\x1b" in data:
            spans += _spans_across(_ESCAPE, data, self._needles)
        return _masked(data, spans)

    def text(self, text: str) -> str:
        """`text` without the known values and without what looks like a secret."""
        if self._needles:
            text = self.data(text.encode(errors="replace")).decode(errors="replace")
        return shapes(text)

    def block(self, text: str) -> str:
        """Many lines at once, as `text`; also without long values that are broken over lines."""
        if self._needles:
            data = text.encode(errors="replace")
            spans = [*_spans(data, self._needles), *_spans_across(_BREAK, data, self._wrapped)]
            text = _masked(data, spans).decode(errors="replace")
        return shapes(text)


def shapes(text: str) -> str:
    """`text` without what looks like a secret."""
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    text = _URL.sub(lambda url: f"{url[1]}?{MASK}" if url[2] else url[1], text)
    for pattern, replacement in _SHAPES:
        text = pattern.sub(replacement, text)
    return text


def _spans(data: bytes, needles: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    for needle in needles:
        at = data.find(needle)
        while at >= 0:
            yield at, at + len(needle)
            at = data.find(needle, at + len(needle))


def _spans_across(gap: re.Pattern[bytes], data: bytes, needles: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """Where needles stand in `data` without its gaps, such as line breaks, in places of `data`."""
    breaks = [found.span() for found in gap.finditer(data)]
    if not breaks:
        return
    starts, removed, total = [], [], 0  # of each break: its place in the joined text, bytes removed up to there
    for begin, end in breaks:
        starts.append(begin - total)
        total += end - begin
        removed.append(total)

    def place(at: int) -> int:
        number = bisect_right(starts, at)
        return at + (removed[number - 1] if number else 0)

    for begin, end in _spans(gap.sub(b"", data), needles):
        yield place(begin), place(end - 1) + 1


def _masked(data: bytes, spans: list[tuple[int, int]]) -> bytes:
    """`data` with each stretch of overlapping spans replaced by one mask."""
    out, at, until = bytearray(), 0, -1
    for begin, end in sorted(spans):
        if begin >= until:
            out += data[at:begin] + MASK.encode()
        until = at = max(until, end)
    return bytes(out + data[at:])
