"""Deadlines of workflows are counted by a clock that can't be set."""

import time

from hypothesis import given
from hypothesis import strategies as st

from svc.worker.workflows.elapsed import Elapsed, Tick, TimeLeft, tick

DAY_MS = 86_400_000


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(-DAY_MS, DAY_MS)), max_size=20))
def test_the_wall_clock_decides_nothing(steps: list[tuple[int, int]]) -> None:
    """Promise: whatever the wall clock does between observations, the time that passed counts."""
    elapsed, ms = Elapsed(), 1_000_000
    assert elapsed.at(Tick("a", ms), 0) == 0
    for passed, _ in steps:
        ms += passed
        elapsed.at(Tick("a", ms), 100)
    assert elapsed.ms == sum(passed for passed, _ in steps)


def test_a_restart_of_the_machine_counts_the_pause() -> None:
    """Promise: ticks of two starts of a machine are not compared: neither endless nor over at once."""
    elapsed = Elapsed()
    elapsed.at(Tick("a", 9_000_000), 0)
    assert elapsed.at(Tick("b", 500), 2000) == 2000
    assert elapsed.at(Tick("b", 1500), 2000) == 3000


def test_a_tick_ignores_what_the_wall_clock_says(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Promise: an hour ahead makes no tick later."""
    before = tick()
    real = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: real + 3_600_000_000_000)
    assert 0 <= tick().ms - before.ms < 60_000
    assert tick().boot == before.boot


def left_at(timeout_s: float, *observed: tuple[int, bool]) -> list[float]:
    """What is left at each second of which it is known whether anything could be seen then."""
    time_left = TimeLeft(timeout_s)
    return [time_left.at(Tick("a", second * 1000), 0, is_unseen=is_unseen) for second, is_unseen in observed]


def test_what_can_not_be_seen_is_not_late() -> None:
    """Promise: a region that was away gets the time again once it is back, as often as it was away."""
    assert left_at(10, (0, False), (3, True), (7, True), (8, False), (9, False)) == [10, 7, 3, 7, 6]
    assert left_at(10, (0, True), (9, False), (11, True), (12, False), (20, False)) == [10, 10, -1, 8, 0]


def test_a_region_that_stays_away_ends_the_wait() -> None:
    """Promise: nobody waits for longer than its time for a region that is away, nor for longer than twice that."""
    assert left_at(10, (0, True), (5, True), (10, True)) == [10, 5, 0]
    assert left_at(10, (0, False), (1, True), (30, False)) == [10, 9, -10]
