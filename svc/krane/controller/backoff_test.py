"""Waiting between tries."""

from hypothesis import given
from hypothesis import strategies as st

from svc.krane.controller.backoff import Backoff, Retries


@given(st.floats(0.01, 10), st.floats(10, 100), st.integers(1, 30))
def test_delays_grow_within_their_limits(first_s: float, most_s: float, tries: int) -> None:
    # Promise: a part that is away is asked ever less often, but always again.
    backoff = Backoff(first_s, most_s)
    delays = [backoff.next_s() for _ in range(tries)]
    assert all(first_s / 2 <= delay <= most_s for delay in delays)
    backoff.reset()
    assert backoff.next_s() <= first_s


def test_retries_wait_before_every_try_and_longer_each_time() -> None:
    # Promise: a failed instance is replaced after a wait, not in a loop.
    now = 0.0
    retries = Retries(10, 40, clock=lambda: now)
    first = retries.wait_s(0)
    assert 5 <= first <= 10
    now += first / 2
    assert 0 < retries.wait_s(0) <= first / 2 + 0.001
    now += first
    assert retries.wait_s(0) == 0
    second = retries.wait_s(0)
    assert 10 <= second <= 20
    retries.reset(0)
    assert retries.wait_s(0) <= 10
