"""Bounds of the number of instances."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg.desired.scaling import DEFAULT_TARGET_CPU_PERCENT, MAX_REPLICAS, ReplicaBounds, bounds_of, check_one_kind
from pkg.errors import InvalidArgument

numbers = st.integers(1, MAX_REPLICAS)
fields = st.fixed_dictionaries(
    {}, optional={"min_replicas": numbers, "max_replicas": numbers, "target_cpu_percent": st.integers(1, 100)}
)


@given(st.none() | fields.filter(lambda f: f.get("min_replicas", 1) <= f.get("max_replicas", 0)), fields)
def test_bounds_are_in_order_or_refused(below: dict[str, int] | None, above: dict[str, int]) -> None:
    """Promise: 1 <= min <= max <= limit, what is set counts, what is not comes from below; else the field is named."""
    lower = bounds_of(None, below) if below else None
    known = {"min_replicas": 1, **(lower.to_json() if lower else {}), **above}
    if known["min_replicas"] > known.get("max_replicas", 0):
        with pytest.raises(InvalidArgument) as refused:
            bounds_of(lower, above)
        wrong = "min_replicas" if "max_replicas" in known else "max_replicas"
        assert refused.value.field == f"settings.{wrong}"
        return
    bounds = bounds_of(lower, above)
    assert 1 <= bounds.min_replicas <= bounds.max_replicas <= MAX_REPLICAS
    assert all(getattr(bounds, name) == value for name, value in above.items())
    assert {**known, **bounds.to_json()} == {"target_cpu_percent": DEFAULT_TARGET_CPU_PERCENT, **known}


def test_defaults() -> None:
    """Promise: only max_replicas has to be set."""
    assert bounds_of(None, {"max_replicas": 4}) == ReplicaBounds(1, 4, DEFAULT_TARGET_CPU_PERCENT)
    with pytest.raises(InvalidArgument, match=r"max_replicas: is required with min_replicas \(3\)"):
        bounds_of(None, {"min_replicas": 3})
    with pytest.raises(InvalidArgument, match=r"min_replicas \(5\) is greater than max_replicas \(4\)"):
        bounds_of(ReplicaBounds(1, 4), {"min_replicas": 5})


@given(numbers, numbers, st.integers(0, 100))
def test_a_clamped_number_is_within_the_bounds(low: int, high: int, number: int) -> None:
    """Promise: a number within the bounds stays, any other becomes the nearest one."""
    bounds = ReplicaBounds(min(low, high), max(low, high))
    clamped = bounds.clamp(number)
    assert bounds.min_replicas <= clamped <= bounds.max_replicas
    assert clamped == number or number not in range(bounds.min_replicas, bounds.max_replicas + 1)


def test_both_kinds_are_refused() -> None:
    """Promise: a fixed number together with bounds is refused, and all of them are named."""
    with pytest.raises(InvalidArgument) as caught:
        check_one_kind("settings", 2, {"min_replicas": 1, "max_replicas": 4})
    assert caught.value.field == "settings.replicas"
    for part in ("replicas (2)", "min_replicas (1)", "max_replicas (4)"):
        assert part in caught.value.message
    check_one_kind("settings", 2, {})
    check_one_kind("settings", None, {"max_replicas": 4})
