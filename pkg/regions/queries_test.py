"""Promise: reports of a region never go back in time, nor does what it applied; the first port that is found stays."""

from sqlalchemy import Connection

from pkg.db import Database
from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState
from pkg.feed import queries as feed
from pkg.regions import krane_replicas, ports, queries
from pkg.regions.queries import CLOCK_SLACK_MS, InstanceRow
from pkg.regions.shortage import is_exhausted, shortages
from pkg.testing.sample_project import add_sample_project, deployment_of, record_deploy

NOW = 1_700_000_000_000


def seen(deployment_id: str, at: int, replica: int = 0, **values: object) -> InstanceRow:
    common = {
        "region": "local", "deployment_id": deployment_id, "replica": replica, "instance_id": "i", "state": "healthy",
        "reason": "", "exit_code": None, "log_tail_json": ["a"], "last_probe": "", "image_id": "", "restarts": 0,
        "port_notice": "", "observed_at": at,
    }  # fmt: skip
    return InstanceRow(**{**common, **values})  # type: ignore[arg-type]


async def test_an_older_report_changes_nothing(db: Database) -> None:
    """Reports may overtake each other; one from the future was made by a clock that was wrong."""

    def run(c: Connection) -> None:
        dep = record_deploy(c, add_sample_project(c), image="nginx:1").id
        assert queries.report(c, seen(dep, NOW), NOW)
        assert not queries.report(c, seen(dep, NOW - 1, state="failed"), NOW)
        assert queries.report(c, seen(dep, NOW + 2 * CLOCK_SLACK_MS, last_exit_json={"code": 1}), NOW)
        assert queries.report(c, seen(dep, NOW + 1, state="unhealthy"), NOW)
        (found,) = queries.instances_of(c, dep)
        assert (found.state, found.last_exit_json) == ("unhealthy", {"code": 1})
        assert queries.any_alive(c, dep)
        assert queries.report(c, seen(dep, NOW + 1, replica=1), NOW)
        assert queries.keep_only(c, "local", [(dep, "", 1)], NOW + 1) == [dep]
        assert [i.replica for i in queries.instances_of(c, dep)] == [1]

    await db.write(run)


async def test_what_was_applied_never_goes_back(db: Database) -> None:
    """Refusals are those of the last report."""

    def run(c: Connection) -> None:
        add_sample_project(c)
        krane_replicas.applied(c, "local", 7, [(6, "a.example", "no")], NOW)
        krane_replicas.applied(c, "local", 5, [(5, "b.example", "no")], NOW + 1)
        assert [n.hostname for n in krane_replicas.nacks(c, ["a.example", "b.example"])] == ["b.example"]
        assert queries.behind(c, ["local"], 7) == []
        assert queries.behind(c, ["local", "elsewhere"], 8) == ["local"]
        assert queries.note_heartbeat(c, "local", "k2", "", NOW + 2)
        assert not queries.note_heartbeat(c, "elsewhere", "k2", "", NOW + 2)
        queries.note_report(c, "local", NOW + 3)
        region = queries.get(c, "local")
        assert region is not None
        assert [region] == queries.every(c)
        assert (region.krane_instance_id, region.last_seen_at, region.applied_version) == ("k2", NOW + 3, 7)

    await db.write(run)


async def test_placing_is_recorded_once_for_each_change(db: Database) -> None:
    """Saying the same again gives no version; a stop is a change of every region that runs it."""

    def run(c: Connection) -> None:
        dep = record_deploy(c, add_sample_project(c), image="nginx:1").id
        where = {"deployment_id": dep, "region": "local", "image_ref": "nginx:1"}
        first = queries.place(c, **where, stopped=False, now=NOW)
        assert first > 0
        assert queries.place(c, **where, stopped=False, now=NOW) == 0
        assert [t.deployment_id for t in queries.topologies_in(c, "local")] == [dep]
        assert queries.stop(c, dep, NOW) == first + 1
        assert queries.stop(c, dep, NOW) == 0
        assert queries.topologies_in(c, "local") == []
        assert [t.stopped for t in queries.topologies_of(c, dep)] == [True]

    await db.write(run)


async def test_the_first_port_that_is_found_stays(db: Database) -> None:
    """A region that reports another port receives the first one."""

    def run(c: Connection) -> None:
        dep = record_deploy(c, add_sample_project(c), image="nginx:1").id
        assert ports.adopt(c, dep, "local", 3000, NOW) == 0  # not placed
        placed = queries.place(c, deployment_id=dep, region="local", image_ref="nginx:1", stopped=False, now=NOW)
        assert ports.adopt(c, dep, "local", 3000, NOW) == 3000
        assert ports.adopt(c, dep, "local", 5000, NOW) == 3000
        assert ports.adopted(c, dep) == 3000
        assert [change.key for change in feed.after(c, "local", placed)] == [dep]
        assert deployment_of(c, dep).notices_json == [ports.notice(3000)]

    await db.write(run)


async def test_a_region_is_exhausted_while_no_standby_can_end(db: Database) -> None:
    """A standby of the region can; what is stopping will."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        waiting = record_deploy(c, sample, image="nginx:1", branch="a").id
        queries.report(c, seen(waiting, NOW, state="starting", waits_for="addresses"), NOW)
        assert is_exhausted(c, ["local"], NOW)
        standby = record_deploy(c, sample, image="nginx:1", branch="b").id
        queries.report(c, seen(standby, NOW), NOW)
        for state in (RunState.STARTING, RunState.RUNNING, RunState.STANDBY):
            assert deployments.set_run_state(c, standby, state, NOW)
        assert not is_exhausted(c, ["local"], NOW)
        (shortage,) = shortages(c, NOW)
        assert [one.deployment_id for one in shortage.standbys] == [standby]

    await db.write(run)
