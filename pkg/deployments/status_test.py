"""Promise: a deployment ends in exactly one terminal status."""

from hypothesis import given
from hypothesis import strategies as st

from pkg.deployments.status import (
    CANCELLABLE,
    ENTERED_FROM,
    IN_FLIGHT,
    RUN_STATE_ENTERED_FROM,
    TERMINAL,
    RunState,
    Status,
    may_enter,
)


def test_every_status_has_a_rule() -> None:
    assert set(ENTERED_FROM) == set(Status)
    assert set(RUN_STATE_ENTERED_FROM) == set(RunState)
    assert set(Status) == TERMINAL | IN_FLIGHT


@given(st.sampled_from(sorted(TERMINAL)), st.sampled_from(sorted(Status)))
def test_nothing_leaves_a_terminal_status(old: Status, new: Status) -> None:
    assert not may_enter(new, old)


@given(st.lists(st.sampled_from(sorted(Status))))
def test_any_walk_ends_in_at_most_one_terminal_status(wishes: list[Status]) -> None:
    current, ends = Status.PENDING, 0
    for wish in wishes:
        if may_enter(wish, current):
            current = wish
            ends += current.is_terminal
    assert ends <= 1
    assert ends == current.is_terminal


def test_network_is_the_point_of_no_return() -> None:
    assert not Status.NETWORK.can_be_cancelled
    assert not may_enter(Status.CANCELLED, Status.NETWORK)
    assert frozenset({Status.PENDING, Status.BUILDING, Status.DEPLOYING}) == CANCELLABLE


def test_ready_comes_only_after_the_routes() -> None:
    assert ENTERED_FROM[Status.READY] == {Status.NETWORK}
