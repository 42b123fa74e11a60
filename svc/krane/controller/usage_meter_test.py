"""Counters that only grow, from counters of a runtime that don't."""

from hypothesis import given
from hypothesis import strategies as st

from svc.krane.controller.usage_meter import KEPT_MS, MAX_GAP_MS, Counter, Seen, Series, UsageMeter
from svc.krane.runtime.port import InstanceUsage

BEGAN = 1_700_000_000_000
S = 10**9


def use(cpu_s: float | None = 0.0, memory: int = 1000, uid: str = "u1", **known: int) -> InstanceUsage:
    """What a runtime has counted of an instance."""
    cpu_ns = None if cpu_s is None else int(cpu_s * S)
    return InstanceUsage("dep-1-0", uid, "dep_1", memory, cpu_ns, **known)


def meter() -> UsageMeter:
    return UsageMeter(0, BEGAN)


def only(of: UsageMeter) -> Series:
    (series,) = of.series.values()
    return series


def test_memory_is_an_integral() -> None:
    """Promise: between two measurements their mean counts; before the first one, since the start of the app."""
    one, seen = meter(), {"u1": Seen(BEGAN, 0)}
    one.take([use(0.1, 1000)], seen, BEGAN + 1000)
    one.take([use(0.6, 3000)], seen, BEGAN + 2000)
    series = only(one)
    assert (series.memory_byte_ms, series.measured_ms) == (1000 * 1000 + 2000 * 1000, 2000)
    assert (series.cpu_ns.total, series.cpu_millicores) == (600_000_000, 500)


def test_a_gap_is_not_guessed() -> None:
    """Promise: of a time without measurements the runtime's counters count, and memory does not."""
    one, seen = meter(), {"u1": Seen(BEGAN, 0)}
    one.take([use(1)], seen, BEGAN)
    one.take([use(90)], seen, BEGAN + MAX_GAP_MS + 1)
    assert (only(one).cpu_ns.total, only(one).measured_ms, only(one).memory_byte_ms) == (90 * S, 0, 0)
    one.take([use(91)], seen, BEGAN + 10)  # the clock was put back
    assert (only(one).cpu_ns.total, only(one).measured_ms) == (91 * S, 0)


def test_an_app_that_is_started_again() -> None:
    """Promise: its counters begin again, those of its instance go on; restarts are counted."""
    one = meter()
    one.take([use(5, network_rx_bytes=50)], {"u1": Seen(BEGAN, 0)}, BEGAN + 1000)
    one.take([use(2, network_rx_bytes=60)], {"u1": Seen(BEGAN + 1500, 1)}, BEGAN + 2000)
    series = only(one)
    assert (series.cpu_ns.total, series.network_rx_bytes.total, series.restarts.total) == (7 * S, 60, 1)


def test_what_another_krane_may_have_counted_is_not_counted_again() -> None:
    """Promise: without a memory of an instance, what it used before is left out, unless it was started since."""
    one = meter()
    seen = {"old": Seen(BEGAN - 1, 3), "new": Seen(BEGAN + 1, 0)}
    one.take([use(5, uid="old"), use(5, uid="new"), use(5, uid="never observed")], seen, BEGAN + 100)
    assert [series.cpu_ns.total for series in one.series.values()] == [0, 5 * S, 0]
    assert [series.restarts.total for series in one.series.values()] == [0, 0, None]
    one.take([use(7, uid="old")], seen, BEGAN + 1100)
    assert next(iter(one.series.values())).cpu_ns.total == 2 * S


def test_a_runtime_that_knows_only_the_present() -> None:
    """Promise: CPU is then what it is, multiplied by the time; bytes are unknown, which is not 0."""
    one, seen = meter(), {"u1": Seen(BEGAN, 0)}
    one.take([use(None, cpu_nanocores=250_000_000)], seen, BEGAN)
    one.take([use(None, cpu_nanocores=500_000_000)], seen, BEGAN + 2000)
    series = only(one)
    assert (series.cpu_ns.total, series.cpu_millicores) == (S, 500)
    assert (series.network_rx_bytes.total, series.disk_write_bytes.total) == (None, None)


def test_the_state_outlives_the_process() -> None:
    """Promise: the next krane continues the numbers where they were, and reports only what is new."""
    one, seen = meter(), {"u1": Seen(BEGAN, 0)}
    one.take([use(1, disk_read_bytes=7)], seen, BEGAN + 1000)
    one.taken(one.due())
    again = UsageMeter.restored(one.to_json())
    assert again == one
    assert again.due() == []
    again.take([use(3, disk_read_bytes=9)], seen, BEGAN + 11_000)
    ((_, series, _),) = again.due()
    assert (series.cpu_ns.total, series.disk_read_bytes.total, series.measured_ms) == (3 * S, 9, 11_000)
    assert series.seq == BEGAN + 11_000


def test_an_instance_that_is_gone_is_forgotten() -> None:
    """Promise: the state does not grow for ever."""
    one = meter()
    one.take([use()], {}, BEGAN)
    one.take([], {}, BEGAN + KEPT_MS)
    assert len(one.series) == 1
    one.take([], {}, BEGAN + KEPT_MS + 1)
    assert one.series == {}


@given(st.lists(st.lists(st.integers(0, 100), min_size=1), min_size=1))
def test_a_counter_never_goes_back(lives: list[list[int]]) -> None:
    """Promise: whatever a runtime's counter does, ours grows, and by no more than the runtime has counted."""
    counter, before, most = Counter(), 0, 0
    for steps in lives:
        value = 0
        for step in steps:
            value += step
            counter.take(value, is_whole=True)
            assert counter.total is not None
            assert counter.total >= before
            before = counter.total
        most += value
    assert before <= most
