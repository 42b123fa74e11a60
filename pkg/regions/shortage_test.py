"""Promise: standbys give way, the oldest first, and no more of them than it takes."""

from hypothesis import given
from hypothesis import strategies as st

from pkg.regions.shortage import Shortage, Standby, standbys_to_evict

standbys = st.lists(
    st.builds(Standby, st.uuids().map(str), st.just("env_a"), st.integers(0, 9), st.integers(1, 3)), max_size=6
)


@given(st.integers(0, 9), st.integers(0, 9), standbys)
def test_the_oldest_give_way_and_no_more_than_it_takes(waiting: int, leaving: int, there: list[Standby]) -> None:
    chosen = standbys_to_evict(Shortage("local", waiting, leaving, False, tuple(there)))
    freed = leaving + sum(one.instances for one in chosen)
    assert freed >= waiting or len(chosen) == len(there)
    if chosen:
        assert freed - chosen[-1].instances < waiting, "the last one was needed"
    ages = [one.run_state_at for one in chosen]
    assert ages == sorted(ages)
    assert all(one.run_state_at >= max(ages, default=0) for one in there if one not in chosen)


def test_waiting_is_in_vain_only_when_nobody_gives_way() -> None:
    one = Standby("dep_a", "env_a", 1, 1)
    assert Shortage("local", 1, 0, False, ()).is_exhausted
    assert not Shortage("local", 1, 0, False, (one,)).is_exhausted
    assert not Shortage("local", 1, 1, False, ()).is_exhausted
    assert not Shortage("local", 1, 0, True, ()).is_exhausted
    assert not Shortage("local", 0, 0, False, ()).is_exhausted
