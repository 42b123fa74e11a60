import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg.ids import PREFIXES, dns_label, is_id, new_id, short

times = st.integers(min_value=0, max_value=(1 << 48) - 1)
prefixes = st.sampled_from(sorted(PREFIXES))


@given(prefixes, times)
def test_form(prefix: str, now_ms: int) -> None:
    """Promise: an id is its prefix and 26 characters that image, host and Kubernetes names allow."""
    made = new_id(prefix, now_ms)
    assert re.fullmatch(rf"{prefix}_[0-9a-z]{{26}}", made)
    assert is_id(prefix, made)
    label = dns_label(made)
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", label)
    assert len(label) <= 63
    assert made.endswith(short(made))


@given(times, times)
def test_ordered_by_time(one: int, two: int) -> None:
    """Promise: text order is order of creation, to the millisecond."""
    if one != two:
        assert (new_id("dep", one) < new_id("dep", two)) == (one < two)


def test_unguessable_and_unique() -> None:
    """Promise: 80 random bits in every id, also within one millisecond."""
    made = {new_id("dep", 1_800_000_000_000) for _ in range(10_000)}
    assert len(made) == 10_000
    assert len({each[:14] for each in made}) == 1
    assert len({each[-16:] for each in made}) == 10_000


def test_time_of_now() -> None:
    """Promise: without a time given, ids of now sort between those of before and after."""
    assert new_id("dep", 1_700_000_000_000) < new_id("dep") < new_id("dep", 4_000_000_000_000)


def test_unknown_prefix() -> None:
    """Promise: every kind of id is declared in one place."""
    with pytest.raises(ValueError, match="unknown id prefix 'nope'"):
        new_id("nope")


@pytest.mark.parametrize(
    "text",
    ["", "dep", "dep_", "dep_06b7", "DEP_" + "0" * 26, "dep_" + "0" * 25, "dep_" + "0" * 27, "dep_" + "u" * 26,
     "dep_" + "0" * 25 + "\n", "bld_" + "0" * 26, "dep_" + "0" * 25 + "٣", "dep_../../etc/passwd-aaaaaaaaa"],
)  # fmt: skip
def test_refuses_what_is_no_id(text: str) -> None:
    """Promise: text from outside passes for an id only in its exact form."""
    assert not is_id("dep", text)
