"""Whether processes are to run, on both databases."""

from dataclasses import replace

from sqlalchemy import Connection

from pkg.db import Database
from pkg.deployments import queries as deployments
from pkg.deployments.settings import Settings
from pkg.deployments.tables import deployments as table
from pkg.desired.processes import Process
from pkg.feed import queries as feed
from pkg.regions import processes, queries
from pkg.regions.deployment_health import reported_health
from pkg.regions.health import Health
from pkg.regions.queries import InstanceRow
from pkg.testing.sample_project import add_sample_project, record_deploy

NOW = 1_000_000
WEB = InstanceRow("local", "", 0, "web-0", "healthy", "", None, [], "", "", 0, "", NOW)


def placed(c: Connection, *found: Process) -> str:
    """A deployment with these processes, that region local runs."""
    made = record_deploy(c, add_sample_project(c), image="nginx:1").id
    c.execute(table.update().values(settings_json=Settings(processes=found).to_json()))
    queries.register(c, name="local", krane_instance_id="k", krane_version="1", runtime="docker", engine="d", now=NOW)
    queries.place(c, deployment_id=made, region="local", image_ref="nginx:1", stopped=False, now=NOW)
    return made


async def test_each_change_is_told_once(db: Database) -> None:
    """Promise: the regions that run it read it again after a stop and a start, and after nothing else."""

    def run(c: Connection) -> None:
        made = placed(c, Process("worker", ("work",)))
        head = feed.head(c).version
        assert not processes.start(c, made, NOW)
        assert feed.after(c, "local", head) == []
        for change in (processes.stop, processes.start):
            head = feed.head(c).version
            assert change(c, made, NOW)
            assert not change(c, made, NOW)
            (told,) = feed.after(c, "local", head)
            assert (told.kind, told.key) == ("topology", made)
        queries.stop(c, made, NOW)
        head = feed.head(c).version
        assert processes.stop(c, made, NOW)
        assert feed.after(c, "local", head) == []
        found = deployments.get(c, made)
        assert found is not None
        assert found.processes_stopped

    await db.write(run)


async def test_what_has_no_processes_is_left_alone(db: Database) -> None:
    """Promise: a deployment without processes, as all of before are, is never marked or sent again."""

    def run(c: Connection) -> None:
        made = placed(c)
        head = feed.head(c).version
        assert not processes.stop(c, made, NOW)
        assert not processes.stop(c, "dep_unknown", NOW)
        assert feed.after(c, "local", head) == []
        found = deployments.get(c, made)
        assert found is not None
        assert not found.processes_stopped

    await db.write(run)


async def test_what_makes_a_deployment_healthy(db: Database) -> None:
    """Promise: web and every process that is to run; a number of 0 and processes that are stopped ask for nothing."""

    def run(c: Connection) -> None:
        made = placed(c, Process("clock", ("tick",), 0), Process("worker", ("work",), 2))

        def health() -> tuple[Health, str]:
            found = deployments.get(c, made)
            assert found is not None
            verdict = reported_health(c, found, NOW)
            return verdict.health, verdict.reason

        web = replace(WEB, deployment_id=made)
        assert queries.report(c, web, NOW)
        assert health() == (
            Health.WAITING, "process worker: 0 of 2 instances are healthy in region local"
        )  # fmt: skip
        for replica in (0, 1):
            assert queries.report(c, replace(web, process="worker", replica=replica, instance_id="w"), NOW)
        assert health() == (Health.HEALTHY, "")
        assert queries.keep_only(c, "local", [(made, "", 0), (made, "worker", 1)], NOW) == [made]
        assert [(one.process, one.replica) for one in queries.instances_of(c, made)] == [("", 0), ("worker", 1)]
        assert health()[0] is Health.WAITING
        assert processes.stop(c, made, NOW)
        assert health() == (Health.HEALTHY, "")

    await db.write(run)
