"""Tables: complete for programs, cut to the terminal's width for people. Pure, except for reading that width."""

import shutil
import sys
import unicodedata
from collections.abc import Sequence

GAP = "  "
ELLIPSIS = "…"
MIN_COLUMN_WIDTH = 8  # a cut column keeps this width
# Joiners and variation selectors, which have no width.
_NO_WIDTH = frozenset("\u200b\u200c\u200d\ufe0e\ufe0f")


def render_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, spare: Sequence[str] = (), flexible: str | None = None
) -> str:
    """A table for stdout. On a terminal that is too narrow, it is cut by `fit_table`."""
    if not sys.stdout.isatty():
        return format_table(header, rows)
    return fit_table(header, rows, shutil.get_terminal_size().columns, spare=spare, flexible=flexible)


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces apart."""
    widths = _widths(header, rows)
    return "\n".join(
        GAP.join(cell + " " * (width - columns(cell)) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, *rows)
    )


def fit_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    spare: Sequence[str] = (),
    flexible: str | None = None,
) -> str:
    """A table of at most `width` terminal columns, if possible.

    The cells of `flexible` are cut first, down to MIN_COLUMN_WIDTH places; then columns of `spare` are left out, those
    that say the same in every row before the others, which go in their order.
    """
    kept = list(range(len(header)))
    same = [name for name in spare if len({row[header.index(name)] for row in rows}) == 1]
    for name in (*same, *(name for name in spare if name not in same)):
        if _total(header, rows, kept) - _give(header, rows, kept, flexible) <= width:
            break
        kept.remove(header.index(name))
    lines = [[line[column] for column in kept] for line in (header, *rows)]
    over = _total(header, rows, kept) - width
    if flexible and over > 0:
        place = kept.index(header.index(flexible))
        room = max(MIN_COLUMN_WIDTH, max(columns(line[place]) for line in lines) - over)
        for line in lines:
            line[place] = cut(line[place], room)
    return format_table(lines[0], lines[1:])


def columns(text: str) -> int:
    """The width of a line of text in terminal columns."""
    return sum(map(_places, text))


def cut(text: str, width: int) -> str:
    """Text of at most `width` columns; an ellipsis marks a cut."""
    if columns(text) <= width:
        return text
    while text and columns(text) > width - 1:
        text = text[:-1]
    return text.rstrip() + ELLIPSIS


def cut_middle(text: str, width: int) -> str:
    """Text of at most `width` columns; longer text keeps its beginning and end, e.g. a command and its file."""
    if columns(text) <= width:
        return text
    head = cut(text, (width + 1) // 2)
    tail = ""
    for char in reversed(text):
        if columns(head) + columns(tail) + columns(char) > width:
            break
        tail = char + tail
    return head + tail.lstrip()


def _widths(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(columns(line[column]) for line in (header, *rows)) for column in range(len(header))]


def _total(header: Sequence[str], rows: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    widths = _widths(header, rows)
    return sum(widths[column] for column in kept) + len(GAP) * (len(kept) - 1)


def _give(header: Sequence[str], rows: Sequence[Sequence[str]], kept: Sequence[int], flexible: str | None) -> int:
    """By how many columns the flexible column can shrink."""
    if not flexible:
        return 0
    place = header.index(flexible)
    return max(0, _widths(header, rows)[place] - MIN_COLUMN_WIDTH) if place in kept else 0


def _places(char: str) -> int:
    if unicodedata.combining(char) or char in _NO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
