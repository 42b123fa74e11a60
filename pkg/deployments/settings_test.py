"""Layers of settings: which number of instances counts."""

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pkg.deployments.settings import Settings, combined, from_json
from pkg.desired.capabilities import APP_PROCESSES
from pkg.desired.processes import Process
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


names = st.sampled_from(["a", "b", "c", "d"])
processes = st.dictionaries(names, st.integers(0, 20), max_size=4).map(
    lambda found: tuple(Process(name, ("run", name), number) for name, number in sorted(found.items()))
)


@given(processes, st.dictionaries(names, st.integers(0, 20)), st.none() | numbers)
def test_numbers_of_processes(found: tuple[Process, ...], scaled: dict[str, int], web: int | None) -> None:
    """Promise: JSON keeps processes; a scaled number replaces that of its process alone, if that is there."""
    settings = Settings(processes=found)
    assert from_json(settings.to_json()) == settings
    after = settings.scaled(web, scaled)
    assert [one.name for one in after.processes] == [one.name for one in found]
    for one in after.processes:
        before = settings.process(one.name)
        assert before is not None
        assert one == dataclasses.replace(before, replicas=scaled.get(one.name, before.replicas))
    assert after.replicas == (web or 1)


def test_settings_of_before_are_as_they_were() -> None:
    """Promise: without processes nothing is stored of them and nothing is asked of a krane."""
    assert "processes" not in Settings().to_json()
    assert from_json({"replicas": 2}).processes == ()
    assert Settings().required_capabilities == frozenset()
    assert Settings(processes=(Process("a", ("x",)),)).required_capabilities == {APP_PROCESSES}


def test_the_upper_section_counts_as_a_whole() -> None:
    """Promise: a deploy that names processes has exactly those, none if the section is empty."""
    below = {"processes": [{"name": "a", "command": ["x"]}]}
    above = {"processes": [{"name": "b", "command": ["y"], "replicas": 0}]}
    assert from_json(combined(below, above)).processes == (Process("b", ("y",), 0),)
    assert from_json(combined(below, {"processes": []})).processes == ()
    assert from_json(combined(below, {})).processes == (Process("a", ("x",)),)
