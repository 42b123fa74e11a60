"""Restarts are immediate at first, then wait longer, never for ever."""

from hypothesis import given
from hypothesis import strategies as st

from svc.standalone.backoff import Backoff


def test_first_restart_is_immediate() -> None:
    """After kill -9 of Envoy users wait for nothing but its start."""
    assert Backoff().after(0.01) == 0.0


def test_delays_double_and_start_over_after_a_steady_life() -> None:
    """A process that keeps dying young does not burn the machine; one that lived is trusted again."""
    backoff = Backoff()
    assert [backoff.after(0.1) for _ in range(6)] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6]
    assert backoff.after(5.0) == 0.0
    assert backoff.after(0.1) == 0.1


def test_a_crash_loop_is_throttled() -> None:
    """A process that dies half a second after each start is started at most 15 times in its first minute."""
    backoff, now, starts = Backoff(), 0.0, 0
    while now < 60:
        now += 0.5 + backoff.after(0.5)
        starts += 1
    assert starts <= 15


def test_deaths_of_a_part_that_works_are_not_throttled() -> None:
    """Kills that come now and then, however many, never make a deploy or a user wait for more than the start."""
    backoff = Backoff()
    assert [backoff.after(6.0) for _ in range(50)] == [0.0] * 50


@given(st.lists(st.floats(min_value=0, max_value=1e6), max_size=200))
def test_delay_is_bounded(lives: list[float]) -> None:
    """However long it fails, the next try comes within 10 s."""
    backoff = Backoff()
    assert all(0.0 <= backoff.after(life) <= 10.0 for life in lives)
