"""Deadlines of workflows are counted by a clock that can't be set."""

import time

from hypothesis import given
from hypothesis import strategies as st

from svc.worker.workflows.elapsed import Elapsed, Tick, tick

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
