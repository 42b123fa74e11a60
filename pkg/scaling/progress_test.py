"""When a scale or a restart is done, and when it has failed."""

from hypothesis import given
from hypothesis import strategies as st

from pkg.regions.queries import InstanceRow
from pkg.regions.silence import Silence
from pkg.scaling.progress import Outcome, Wanted, progress_of

STATES = ("starting", "healthy", "unhealthy", "failed", "stopped")


def instance(replica: int, state: str = "healthy", generation: int = 0, region: str = "local") -> InstanceRow:
    return InstanceRow(
        region, "dep_a", replica, "x", state, "why", None, [], "", "", 0, "", 1, restart_generation=generation
    )


states = st.lists(st.tuples(st.sampled_from(STATES), st.integers(0, 3)), max_size=5)


@given(states, st.integers(1, 4), st.integers(0, 3), st.booleans())
def test_done_means_all_that_is_wanted_and_nothing_else(
    found: list[tuple[str, int]], replicas: int, generation: int, is_less: bool
) -> None:
    """Promise: whatever the regions report, `done` leaves no instance of before and none beyond the number."""
    rows = [instance(n, state, made_for) for n, (state, made_for) in enumerate(found)]
    wanted = Wanted(replicas, generation=generation, is_less=is_less)
    if progress_of(["local"], wanted, rows, {}).outcome is not Outcome.DONE:
        return
    alive = [row for row in rows if row.state != "stopped"]
    assert all(row.replica < replicas and row.restart_generation >= generation for row in alive)
    if not is_less:
        assert [row.replica for row in alive if row.state == "healthy"] == list(range(replicas))


def test_more_instances() -> None:
    """Promise: it waits until they are healthy, and fails with the reason of one that never will be."""
    assert progress_of(["local"], Wanted(2), [instance(0)], {}).reason == "1 of 2 instances are healthy in region local"
    starting = progress_of(["local"], Wanted(2), [instance(0), instance(1, "starting")], {})
    assert (starting.outcome, "; why" in starting.reason) == (Outcome.WAITING, True)
    failed = progress_of(["local"], Wanted(2), [instance(0), instance(1, "failed")], {})
    assert (failed.outcome, failed.reason, failed.code) == (Outcome.FAILED, "why", "instance.failed")
    assert progress_of(["local"], Wanted(2), [instance(0), instance(1)], {}).outcome is Outcome.DONE


def test_fewer_instances() -> None:
    """Promise: it waits for those beyond the number only, so that an app that fails can be made smaller."""
    wanted = Wanted(1, is_less=True)
    assert "1 instances are about to end" in progress_of(["local"], wanted, [instance(0), instance(1)], {}).reason
    assert progress_of(["local"], wanted, [instance(0, "failed")], {}).outcome is Outcome.DONE


def test_a_restart() -> None:
    """Promise: an old one that fails is not the restart's failure; a new one, also beyond the number, is."""
    wanted = Wanted(1, generation=5)
    assert progress_of(["local"], wanted, [instance(0, "failed", 4)], {}).outcome is Outcome.WAITING
    assert progress_of(["local"], wanted, [instance(0, "healthy", 4)], {}).outcome is Outcome.WAITING
    spare = [instance(0, "healthy", 4), instance(1, "failed", 5)]
    assert progress_of(["local"], wanted, spare, {}).outcome is Outcome.FAILED
    assert progress_of(["local"], wanted, [instance(0, "healthy", 6)], {}).outcome is Outcome.DONE
    more = [instance(0, "healthy", 5), instance(1, "healthy", 5)]
    assert progress_of(["local"], wanted, more, {}).outcome is Outcome.WAITING
    assert progress_of(["local"], Wanted(1, is_scaled=True, generation=5), more, {}).outcome is Outcome.DONE


def test_every_region_counts_and_a_silent_one_is_waited_for() -> None:
    """Promise: what a region said before it fell silent proves nothing."""
    rows = [instance(0, region="eu"), instance(0, "starting", region="us")]
    assert progress_of(["eu", "us"], Wanted(1), rows, {}).outcome is Outcome.WAITING
    silent = {"eu": Silence(0, "krane of region eu does not report", is_probed=False)}
    assert progress_of(["eu"], Wanted(1), rows, silent).reason == "krane of region eu does not report"
    assert progress_of([], Wanted(1), [], {}).outcome is Outcome.WAITING
