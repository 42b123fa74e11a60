"""When an instance without a port is healthy."""

from hypothesis import given
from hypothesis import strategies as st

from svc.krane.controller import uptime

seconds = st.floats(min_value=0, max_value=1e6)


@given(seconds, st.floats(min_value=0.1, max_value=100))
def test_healthy_exactly_once_it_has_been_up_for_long_enough(up_s: float, needed_s: float) -> None:
    """Promise: what says when to look again and what is said then agree, so that nothing waits for ever."""
    left_s = uptime.left_s(up_s, needed_s)
    assert uptime.result(up_s, needed_s).is_ok == (left_s == 0) == (up_s >= needed_s)
    assert left_s >= 0
    assert uptime.result(needed_s, needed_s).is_ok


@given(seconds)
def test_an_uptime_refuses_nothing(up_s: float) -> None:
    """Promise: it is never taken for an answer on a port: nothing searches one, or replaces the instance for it."""
    found = uptime.result(up_s, uptime.HEALTHY_AFTER_S)
    assert not any((found.is_refused, found.is_answered, found.is_foreign, found.is_final, found.is_unasked))
    assert found.text
