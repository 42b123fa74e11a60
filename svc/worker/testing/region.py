"""A fake region: krane and the api's notifications in one."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Literal

from sqlalchemy import Connection

from pkg.clock import now_ms
from pkg.db import Database
from pkg.deployments import queries as deployments
from pkg.desired.processes import workload_id
from pkg.errors import Unavailable
from pkg.feed import queries as desired
from pkg.images import ImageRef
from pkg.jobs import queries as jobs
from pkg.jobs.model import JobEnd, JobSeen, JobStatus
from pkg.jobs.rules import exited
from pkg.regions import krane_replicas
from pkg.regions import queries as regions
from pkg.regions.deployment_health import current_settings
from pkg.regions.queries import InstanceRow
from pkg.restate import RestateClient
from pkg.workflows import queries as workflows
from pkg.workflows.deploy import DEPLOY_RELEASED
from pkg.workflows.queries import Recipient
from sealift.workflow.v1.workflow_pb2 import NotifyRequest

How = Literal["healthy", "starting", "failed", "silent"]


@dataclass
class RegionBehavior:
    """What the region does.

    Attributes:
        by_default: how instances turn out.
        of: by deployment id; wins.
        of_process: by process; wins over both.
        applies: whether its ingress takes changes.
        refuses: hostnames that its ingress refuses.
        notifies: whether workflows are notified of its reports; False: every notification is lost.
        log_tail: last lines of a failed instance, or job.
        jobs: how jobs turn out; what runs is stopped when it is asked for.
    """

    by_default: How = "healthy"
    of: dict[str, How] = field(default_factory=dict)
    of_process: dict[str, How] = field(default_factory=dict)
    applies: bool = True
    refuses: set[str] = field(default_factory=set)
    notifies: bool = True
    log_tail: list[str] = field(default_factory=lambda: ["Traceback", "boom"])
    jobs: Literal["succeed", "fail", "run", "silent"] = "succeed"


class FakeRegion:
    """Acts as `behavior` says in the region `name`."""

    def __init__(self, db: Database, restate: RestateClient, name: str = "local") -> None:
        self.behavior = RegionBehavior()
        self.name = name
        self.replica_id = ""
        self.jobs_run: list[str] = []
        self._db = db
        self._restate = restate
        self._again = asyncio.Event()

    def changed(self) -> None:
        """The behavior was changed: act now."""
        self._again.set()

    async def register(self, *, is_shared: bool = False, capabilities: Collection[str] = ()) -> None:
        """The region's first call. `is_shared`: it leaves room for other replicas."""
        await self._db.write(
            lambda connection: regions.register(
                connection, name=self.name, krane_instance_id="k", krane_version="1", runtime="docker", engine="d",
                now=now_ms(), replica_id=self.replica_id, is_shared=is_shared, capabilities=sorted(capabilities),
            )
        )  # fmt: skip

    async def run(self) -> None:
        """Reacts to every commit, until cancelled."""
        while True:
            self._again.clear()
            position = self._db.commits.position
            for handler, key in await self._db.write(self._turn):
                try:
                    await self._restate.send(handler, key, NotifyRequest(stored_at=now_ms()))
                except Unavailable:
                    continue  # an accelerator only
            woken = [
                asyncio.create_task(self._db.commits.wait(position, 1.0)),
                asyncio.create_task(self._again.wait()),
            ]
            try:
                await asyncio.wait(woken, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in woken:
                    task.cancel()
                await asyncio.gather(*woken, return_exceptions=True)

    def _turn(self, connection: Connection) -> list[Recipient]:
        """Reads the desired state once and reports what differs. Returns whom to notify."""
        if regions.get(connection, self.name) is None:
            return []
        released = self._run_jobs(connection)
        changed = self._run_instances(connection)
        applied = self._apply_routes(connection)
        if not self.behavior.notifies:
            return []
        now = now_ms()
        found = workflows.awaiting_instances(connection, changed, now)
        found += [(DEPLOY_RELEASED, deployment_id) for deployment_id in released]
        return found + workflows.awaiting_applied(connection, now) if applied else found

    def _run_jobs(self, connection: Connection) -> list[str]:
        """The deployments whose release job has ended."""
        how, ended = self.behavior.jobs, []
        for job in jobs.wanted_in(connection, self.name) if how != "silent" else []:
            if job.id not in self.jobs_run:
                self.jobs_run.append(job.id)
            end = None
            if job.stop_requested_at is not None:
                end = JobEnd(JobStatus.STOPPED)
            elif how != "run":
                end = exited(0 if how == "succeed" else 3, tuple(self.behavior.log_tail))
            elif job.status is JobStatus.RUNNING:
                continue
            if jobs.report(connection, self.name, JobSeen(job.id, is_running=True, end=end), now_ms()) is not None:
                ended.append(job.deployment_id)
        return ended

    def _run_instances(self, connection: Connection) -> set[str]:
        changed, surplus = set(), set[tuple[str, str, int]]()
        topologies = {t.deployment_id: t for t in regions.topologies_in(connection, self.name)}
        for deployment_id, topology in topologies.items():
            deployment = deployments.get(connection, deployment_id)
            assert deployment is not None
            how = self.behavior.of.get(deployment_id, self.behavior.by_default)
            if how == "silent":
                continue
            found = [i for i in regions.instances_of(connection, deployment_id) if i.region == self.name]
            known = {(i.process, i.replica): i for i in found}
            settings, made_for = current_settings(connection, deployment), deployment.restart_generation
            numbers = {"": settings.replicas}
            if not deployment.processes_stopped:
                numbers |= {process.name: process.replicas for process in settings.processes}
            surplus |= {(deployment_id, *key) for key in known if key[1] >= numbers.get(key[0], 0)}
            for process, replica in ((name, number) for name in numbers for number in range(numbers[name])):
                state = self.behavior.of_process.get(process, how)
                seen = self._instance(deployment_id, replica, topology.image_ref, state, process)
                seen = replace(seen, restart_generation=made_for)
                before = known.get((process, replica))
                if before is None or (before.state, before.restart_generation) != (state, made_for):
                    regions.report(connection, seen, now_ms())
                    changed.add(deployment_id)
        listed = [(d, i.process, i.replica) for d in topologies for i in regions.instances_of(connection, d)]
        listed = [key for key in listed if key not in surplus]
        return changed | set(regions.keep_only(connection, self.name, listed, now_ms()))

    def _instance(self, deployment_id: str, replica: int, image_ref: str, how: How, process: str = "") -> InstanceRow:
        ref = ImageRef.parse(image_ref)
        healthy = InstanceRow(
            region=self.name, deployment_id=deployment_id, replica=replica, process=process,
            instance_id=f"{workload_id(deployment_id, process)}-{replica}",
            state=how, reason="", exit_code=None, log_tail_json=[], last_probe="GET / answered 200",
            image_id=ref.digest if ref.is_on_engine else "sha256:pulled",
            restarts=0, port_notice="", observed_at=now_ms(),
        )  # fmt: skip
        if how == "failed":
            tail = list(self.behavior.log_tail)
            return replace(healthy, reason="it exited at once", exit_code=3, log_tail_json=tail, last_probe="refused")
        if how == "starting":
            return replace(healthy, last_probe="connection refused", log_tail_json=["still starting"])
        return healthy

    def _apply_routes(self, connection: Connection) -> bool:
        head = desired.head(connection).version
        refused = [(head, hostname, "no such cluster") for hostname in sorted(self.behavior.refuses)]
        replica = krane_replicas.get(connection, self.name, self.replica_id)
        if replica is None or not self.behavior.applies or (replica.applied_version >= head and not refused):
            return False
        is_known = bool(krane_replicas.nacks(connection, sorted(self.behavior.refuses)))
        if refused and replica.applied_version >= head and is_known:
            return False
        krane_replicas.applied(connection, self.name, head, refused, now_ms(), replica_id=self.replica_id)
        return True
