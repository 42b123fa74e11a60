"""Which version of a language satisfies what an app says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.cli.buildplan.versions import chosen, contains, exact


@pytest.mark.parametrize(
    ("wanted", "holds", "lacks"),
    [
        ("", "20 22 3.12", ""),
        ("*", "20 22", ""),
        (">=18", "18 20 24", "16"),
        (">=18 <21", "18 20", "16 21 22"),
        (">=18.0.0 <21.0.0", "18 20", "16 21"),
        ("18.x", "18", "16 20"),
        ("18.x || 20.x", "18 20", "22"),
        ("^20.9.0", "20", "18 22"),
        ("~20.9.0", "20", "18 22"),
        ("18 - 20", "18 19 20", "17 21"),
        (">20", "21 22", "20 18"),
        ("<=20", "20 18", "22"),
        ("!=20", "18", "20"),
        ("v20.11.1", "20", "22"),
        (">=3.8,<3.12", "3.8 3.11", "3.7 3.12"),
        (">=3.8,<3.12.4", "3.12", "3.13"),
        ("^3.11", "3.11 3.13", "3.10 4.0"),
        ("~3.11", "3.11", "3.10 3.12"),
        ("~=3.9", "3.9 3.13", "3.8"),
        ("~=3.9.2", "3.9", "3.8 3.10"),
        ("==3.10.*", "3.10", "3.9 3.11"),
        ("==3.10.4", "3.10", "3.11"),
        (">=3.10, !=3.11.2", "3.10 3.11", "3.9"),
    ],
)
def test_ranges(wanted: str, holds: str, lacks: str) -> None:
    """Promise: the ranges of npm, PEP 440 and Poetry are read as these tools read them."""
    assert [one for one in holds.split() if not contains(wanted, one)] == []
    assert [one for one in lacks.split() if contains(wanted, one)] == []


@pytest.mark.parametrize(
    ("text", "parts", "found"),
    [
        ("3.11.4\n", 2, "3.11"), ("3", 2, ""), ("v20.1.0", 1, "20"), ("20", 1, "20"), ("lts/*", 1, ""),
        ("pypy3.9", 2, ""), ("3.12 3.11", 2, ""), ("", 1, ""), ("1.22.0", 2, "1.22"), ("3.14t", 2, ""),
    ],
)  # fmt: skip
def test_exact_versions(text: str, parts: int, found: str) -> None:
    """Promise: only a whole version counts, cut to what names of images have."""
    assert exact(text, parts) == found


def test_the_choice() -> None:
    """Promise: the default, if the range contains it, else the first known version that it contains."""
    assert chosen(">=3.9", "3.12", ["3.14", "3.13", "3.11"]) == "3.12"
    assert chosen("<3.12", "3.12", ["3.14", "3.13", "3.11", "3.10"]) == "3.11"
    assert chosen(">=3.13", "3.12", ["3.14", "3.13", "3.11"]) == "3.14"
    assert chosen("<2", "3.12", ["3.14"]) == "3.12"


@given(st.text(max_size=40), st.sampled_from(["20", "22", "3.12", "3.9"]))
def test_any_text_is_a_range(wanted: str, version: str) -> None:
    """Promise: nothing that stands in a file raises."""
    assert contains(wanted, version) in (True, False)
    assert chosen(wanted, version, ["1"]) in (version, "1")
