"""Words for people, and foreign text made harmless."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.cli.format.text import ago, clean, seconds, until, wrapped


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain ü 🚢\ttab", "plain ü 🚢\ttab"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mx\x1b[K", "x"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]52;c;b3du", ""),
        ("\x1b]52;c;b3du\x1b[31mred", "red"),
        ("\x1bP+q\x1b\\x", "x"),
        ("\x9b31mx", "x"),
        ("10%\r50%\r100%\r\n", "100%"),
        ("a\x00\x08\x7fb", "ab"),
        ("\u202egnp.exe", "gnp.exe"),
        ("\x1b(Bx\x1b=y\x1b", "xy"),
    ],
)
def test_clean(raw: str, shown: str) -> None:
    """Promise: escapes of every kind are gone, text stays."""
    assert clean(raw) == shown


def test_clean_takes_no_time() -> None:
    """Promise: a line of a build can't hold up the terminal of whoever reads its log."""
    begin = time.process_time()
    for unit in ("\x9d", "\x1b]", "\x9b0", "\x1bP", "\x1b", "\r", "\x9b"):
        for end in ("", "\x1b", "\x07"):
            clean(unit * 100_000 + end)
    assert time.process_time() - begin < 10  # quadratic: minutes


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_clean_leaves_nothing_to_obey(text: str) -> None:
    """Promise: for any text, no control character but the tab is left, and cleaning twice changes nothing."""
    cleaned = clean(text)
    assert all(c == "\t" or unicodedata.category(c) != "Cc" for c in cleaned)
    assert clean(cleaned) == cleaned


@given(st.text("ab \n/", max_size=200), st.integers(20, 60))
def test_wrapping_loses_nothing(text: str, width: int) -> None:
    """Promise: words keep their order; only a long word exceeds the width."""
    lines = wrapped(text, width, "  ")
    assert " ".join(lines).split() == text.split()
    assert all(len(line) <= width or len(line.split()) == 1 for line in lines)


def test_wrapping_keeps_indents() -> None:
    """Promise: a list under a sentence stays a list."""
    assert wrapped("it has problems:\n  one: this is much too long", 20) == [
        "it has problems:", "  one: this is much", "  too long",
    ]  # fmt: skip


def test_durations() -> None:
    """Promise: durations at every scale."""
    assert [seconds(ms) for ms in (-5, 0, 449, 99_900, 100_000, 3_720_000)] == [
        "0.0 s", "0.0 s", "0.4 s", "99.9 s", "1 min 40 s", "1 h 02 min",
    ]  # fmt: skip
    assert [ago(1, 1 + ms) for ms in (0, 61_000, 7_200_000, 200_000_000)] == ["0 s", "1 min", "2 h", "2 d"]
    assert ago(0) == "-"
    assert [until(1 + ms, 1) for ms in (-1, 0, 5000)] == ["now", "now", "in 5.0 s"]
    assert until(1_803_945_600_000, 1) == "2027-03-02"
