"""Names of processes, and ids of workloads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg.desired.processes import (
    MAX_NAME_CHARS,
    name_problem,
    process_of_instance,
    split_workload,
    workload_id,
    workload_label,
)
from pkg.ids import new_id

names = st.from_regex(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True).filter(lambda name: name != "web")
processes = st.one_of(st.just(""), names)
replicas = st.integers(min_value=0, max_value=20)


@given(names)
def test_every_allowed_name(name: str) -> None:
    """Promise: what the rule says is allowed."""
    assert name_problem(name) == ""


@pytest.mark.parametrize("name", ["", "web", "Worker", "a_b", "-a", "a-", "1a", "a.b", "a" * (MAX_NAME_CHARS + 1), "ä"])
def test_other_names(name: str) -> None:
    """Promise: a name that is no DNS label, too long, or web's, is refused with words."""
    assert name_problem(name)


@given(processes)
def test_a_workload_names_its_deployment_and_process(process: str) -> None:
    """Promise: both can be read back from a workload's id."""
    made = new_id("dep")
    assert split_workload(workload_id(made, process)) == (made, process)


@given(processes, processes, replicas, replicas)
def test_instance_names_are_unique_and_can_be_read(one: str, other: str, first: int, second: int) -> None:
    """Promise: of two instances of a deployment the names differ, and each names its process."""
    made = new_id("dep")
    name = f"{workload_label(workload_id(made, one))}-{first}"
    assert process_of_instance(name) == one
    assert len(name) <= 63
    if (one, first) != (other, second):
        assert name != f"{workload_label(workload_id(made, other))}-{second}"


@given(names)
def test_names_leave_room_in_a_cluster(process: str) -> None:
    """Promise: a StatefulSet's name leaves room for the hash of its revision in a label of 63 characters."""
    assert len(workload_label(workload_id(new_id("dep"), process))) + 11 <= 63


def test_what_is_no_name_of_an_instance() -> None:
    """Promise: a name of something else has no process."""
    assert process_of_instance("nginx") == ""
    assert process_of_instance("dep-1-2-x") == ""
