"""The histogram's error is what the page says, and histograms add up without one."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pkg.access.latency import BOUNDS_US, BUCKETS, bucket_of, from_text, merged, percentile_us, to_text

DURATIONS = st.lists(st.integers(100, 99_999_999), min_size=1, max_size=200)


def histogram(durations: list[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for one in durations:
        counts[bucket_of(one)] = counts.get(bucket_of(one), 0) + 1
    return counts


@given(DURATIONS, st.sampled_from([50.0, 90.0, 99.0, 100.0]))
def test_a_percentile_is_within_8_percent(durations: list[int], percent: float) -> None:
    """Promise: what is told differs from the duration at that place by at most 8 percent."""
    true = sorted(durations)[max(1, math.ceil(len(durations) * percent / 100)) - 1]
    told = percentile_us(histogram(durations), percent)
    assert told is not None
    assert abs(told - true) <= true * 0.08 + 1


@given(DURATIONS, DURATIONS)
def test_histograms_add_up(one: list[int], other: list[int]) -> None:
    """Promise: two histograms merged are the histogram of both; its text keeps it."""
    both = merged(histogram(one), histogram(other))
    assert both == histogram(one + other)
    assert from_text(to_text(both)) == both


def test_the_ends() -> None:
    """Nothing measured is no percentile; what lies outside of the bounds is told as the bound."""
    assert percentile_us({}, 50) is None
    assert from_text(to_text({})) == {}
    assert percentile_us({bucket_of(3): 1}, 50) == 100
    assert percentile_us({bucket_of(10**12): 1}, 50) == 100_000_000
    assert bucket_of(10**12) == BUCKETS - 1 == len(BOUNDS_US)


def test_bounds_have_two_significant_digits() -> None:
    """Promise: each bucket of Envoy's histograms lies within one of these, so nothing is lost by the change."""
    assert list(BOUNDS_US) == sorted(set(BOUNDS_US))
    for bound in BOUNDS_US:
        assert len(str(bound).rstrip("0")) <= 2
    assert max(b / a for a, b in pairwise(BOUNDS_US)) < 1.16
