"""Cutting text between characters."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc.api.requests.trim import trim

FAMILY = "👩\u200d👩\u200d👧\u200d👦"
FLAG = "🇫🇷"


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        ("", 0, ""),
        ("e\u0301e\u0301", 3, "e\u0301"),
        ("ab" + FAMILY, 8, "ab"),
        ("ab" + FAMILY, 9, "ab" + FAMILY),
        (FLAG + FLAG, 3, FLAG),
        (FLAG + FLAG, 2, FLAG),
        ("👍🏽👍🏽", 3, "👍🏽"),
        ("a\r\nb", 2, "a"),
        ("x" + "\u0301" * 100, 50, "x" + "\u0301" * 49),  # no end of marks: cut at the limit
    ],
)
def test_cuts_before_a_cluster(text: str, limit: int, expected: str) -> None:
    """Promise: a cut leaves no half of a character."""
    assert trim(text, limit) == expected


@given(text=st.text(alphabet=st.sampled_from("aé🚀👩\u200d👧\u0301🇫🇷🏽\r\n"), max_size=80), limit=st.integers(0, 80))
def test_always_a_beginning_within_the_limit(text: str, limit: int) -> None:
    """Promise: the result is a prefix of the text, within the limit, and at most one cluster shorter than it."""
    cut = trim(text, limit)
    assert text.startswith(cut)
    assert len(cut) <= limit
    assert len(cut) >= min(len(text), limit) - 32
    if cut != text and cut:
        assert len(cut) == limit or unicodedata.category(text[len(cut)]) != "Mn"
