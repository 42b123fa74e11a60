"""Tables at any width."""

import pytest

from sealift.cli.format.tables import columns, cut, fit_table, format_table

HEADER = ("ID", "STATUS", "ENVIRONMENT", "BRANCH", "COMMIT", "AGE")
ROWS = [
    ("dep_1", "ready", "production", "main", "0123456 Ship the boat", "5 min"),
    ("dep_2", "failed", "production", "feat/ü 🚢", "89abcde e\u0301t\u0301e\u0301 中文", "1 d"),
]


def widest(text: str) -> int:
    return max(columns(line) for line in text.splitlines())


def test_table() -> None:
    """Promise: columns are as wide as their widest cell, without trailing blanks."""
    assert format_table(("A", "B"), [("long", "x"), ("y", "")]) == "A     B\nlong  x\ny"


def test_columns_line_up_whatever_the_characters() -> None:
    """Promise: wide and combining characters do not shift what follows."""
    lines = format_table(HEADER, ROWS).splitlines()
    at = [columns(line[: line.index(word)]) for line, word in zip(lines, ("AGE", "5 min", "1 d"), strict=True)]
    assert len(set(at)) == 1


@pytest.mark.parametrize("width", range(34, 100))
def test_a_table_fits_its_window(width: int) -> None:
    """Promise: no line wraps; columns that distinguish the rows are removed last."""
    text = fit_table(HEADER, ROWS, width, spare=("BRANCH", "ENVIRONMENT", "STATUS"), flexible="COMMIT")
    assert widest(text) <= width
    assert "dep_2" in text
    assert "1 d" in text
    if "production" in text:
        assert "BRANCH" in text


def test_a_wide_window_changes_nothing() -> None:
    """Promise: a table that fits is not changed."""
    assert fit_table(HEADER, ROWS, 200, spare=("STATUS",), flexible="COMMIT") == format_table(HEADER, ROWS)
    assert fit_table(HEADER, [], 10, spare=("STATUS",), flexible="COMMIT").startswith("ID")


def test_cut() -> None:
    """Promise: text is never longer than the width, and characters are never split."""
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab…"
    assert columns(cut("中文中文", 4)) <= 4
