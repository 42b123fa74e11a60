"""Layers of settings: which number of instances counts."""

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pkg.deployments.settings import Settings, combined, from_json
from pkg.desired.scaling import MAX_REPLICAS
from pkg.errors import InvalidArgument

numbers = st.integers(1, MAX_REPLICAS)
fields = st.fixed_dictionaries(
    {}, optional={"min_replicas": numbers, "max_replicas": numbers, "target_cpu_percent": st.integers(1, 100)}
)
# One layer as the api lets it in: a fixed number, bounds, or neither.
layers = st.one_of(
    st.just({}),
    st.builds(lambda n: {"replicas": n}, numbers),
    st.builds(lambda f: {"autoscaling": f} if f else {}, fields),
)


@given(layers, layers)
def test_the_upper_kind_counts(below: dict[str, Any], above: dict[str, Any]) -> None:
    """Promise: merging one after the other is merging both combined; `replicas` is the least number; JSON keeps it."""
    try:
        merged = Settings().merged(below).merged(above)
    except InvalidArgument:
        return
    assert merged == Settings().merged(combined(below, above))
    assert from_json(merged.to_json()) == merged
    if "autoscaling" in above:
        assert merged.autoscaling is not None
    if "replicas" in above:
        assert merged.autoscaling is None
    assert merged.replicas == (merged.autoscaling.min_replicas if merged.autoscaling else merged.replicas)


def test_snapshots_of_before_have_a_fixed_number() -> None:
    """Promise: settings that were stored before bounds existed keep their number."""
    assert from_json({"replicas": 3}) == Settings(replicas=3, autoscaling=None)


@given(layers, numbers)
def test_a_scaled_number_counts_unless_there_are_bounds(layer: dict[str, Any], number: int) -> None:
    """Promise: the number of the environment replaces a fixed one and nothing else; bounds are left as they are."""
    try:
        settings = Settings().merged(layer)
    except InvalidArgument:
        return
    assert settings.scaled(None) == settings
    scaled = settings.scaled(number)
    assert scaled.replicas == (settings.replicas if settings.autoscaling else number)
    assert dataclasses.replace(scaled, replicas=settings.replicas) == settings
