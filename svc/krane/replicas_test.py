"""Promise: of two kranes of a region one makes instances and reports them, both serve, and nothing ends too early."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pkg.desired.jobs import job_name
from pkg.ids import new_id
from pkg.observability.metrics import Metrics
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2, job_pb2
from svc.krane.config import KraneConfig
from svc.krane.controller.api import ClusterApi
from svc.krane.controller.contact import Contact, Service, replica_id
from svc.krane.metrics import KraneMetrics
from svc.krane.run import Timing
from svc.krane.runtime import factory
from svc.krane.runtime.port import Runtime, RuntimeContext
from svc.krane.runtime.replicas import ReplicaContext, Replicas
from svc.krane.testing.cluster import KEY, FakeCluster
from svc.krane.testing.harness import KraneHarness, eventually, name_of
from svc.krane.testing.memory import IMAGE_ID, Machine, MemoryRuntime, Server

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED


@dataclass
class MemoryElection:
    """Who leads, decided by the test."""

    leader: str = ""
    term: int = 0
    seen: float = float("-inf")  # when another replica had contact
    announced: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def lead(self, replica: str) -> None:
        """This one leads from now on."""
        self.leader, self.term = replica, self.term + 1
        self.changed.set()
        self.changed = asyncio.Event()


class MemoryReplicas:
    """See `Replicas`."""

    is_shared = True

    def __init__(self, election: MemoryElection, replica: str) -> None:
        self._election = election
        self._replica = replica
        self.heard = 0

    @property
    def term(self) -> int | None:
        """See `Replicas`."""
        return self._election.term if self._election.leader == self._replica else None

    @property
    def is_follower(self) -> bool:
        """See `Replicas`."""
        return self._election.leader not in ("", self._replica)

    @property
    def is_announced(self) -> bool:
        """See `Replicas`."""
        return self._election.announced

    def seen_since(self, moment: float) -> bool:
        """See `Replicas`."""
        return self._election.seen > moment

    def heard_of_term(self, term: int) -> None:
        """See `Replicas`."""
        self.heard = term

    async def term_changed(self, known: int | None) -> int | None:
        """See `Replicas`."""
        while self.term == known:
            await self._election.changed.wait()
        return self.term

    async def run(self) -> None:
        """See `Replicas`."""
        await asyncio.Event().wait()

    async def resign(self) -> None:
        """See `Replicas`."""
        if self._election.leader == self._replica:
            self._election.lead("")

    async def close(self) -> None:
        """See `Replicas`."""


@pytest.fixture
def port() -> int:
    """One that nobody listens on."""
    with socket.socket() as free:
        free.bind(("0.0.0.0", 0))
        return int(free.getsockname()[1])


@dataclass
class Region:
    """Two kranes on one machine, with one control plane."""

    first: KraneHarness
    second: KraneHarness
    cluster: FakeCluster
    machine: Machine
    election: MemoryElection

    def lead(self, one: KraneHarness) -> None:
        """This krane leads from now on."""
        self.election.lead(replica_id(one.folder / "krane"))


@pytest.fixture
async def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Region]:
    machine, election = Machine(), MemoryElection()

    def replicas(_: KraneConfig, context: ReplicaContext) -> Replicas:
        return MemoryReplicas(election, context.replica_id)

    def runtime(_: KraneConfig, context: RuntimeContext) -> Runtime:
        return MemoryRuntime(machine, context.installation_id, context.is_leader)

    monkeypatch.setattr(factory, "BACKENDS", {**factory.BACKENDS, "memory": runtime})
    monkeypatch.setattr(factory, "REPLICAS", {**factory.REPLICAS, "memory": replicas})
    cluster = FakeCluster(new_id("inst"))
    await cluster.start()
    kranes = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        krane = KraneHarness(tmp_path / name, IMAGE_ID, cluster, cluster.installation_id, backend="memory")
        krane.timing = Timing(resync_s=0.2, stop_grace_s=1, drain_s=2)
        kranes.append(krane)
    region = Region(kranes[0], kranes[1], cluster, machine, election)
    region.lead(region.first)
    for krane in kranes:
        await krane.start_krane()
    yield region
    for krane in kranes:
        await krane.stop_krane()
    await cluster.stop()
    for server in list(machine.servers.values()):
        await machine.remove(server)


async def test_one_makes_instances_and_both_serve_them(region: Region, port: int) -> None:
    """Only the leader reports, with its term; the next one reports everything, and changes no instance."""
    topology = region.first.topology(port=port, replicas=2)
    await region.cluster.put(topology)
    version = await region.cluster.route("a.example", topology.deployment_id)
    for replica in (0, 1):
        await region.cluster.until_state(name_of(topology, replica), HEALTHY)
    for krane in (region.first, region.second):
        await eventually(lambda k=krane: len(k.ingress.healthy(topology.deployment_id)) == 2)  # type: ignore[misc]
    applied = {
        request.replica_id
        for request in await region.cluster.until(
            lambda: (
                len({r.replica_id for r in region.cluster.applied if r.version >= version}) == 2
                and region.cluster.applied
            )
        )
    }
    assert (
        applied
        == {r.replica_id for r in region.cluster.registrations}
        == {w.replica_id for w in region.cluster.watches}
    )
    assert all(request.is_shared for request in region.cluster.registrations)
    assert {request.leader_term for request in region.cluster.reports} == {1}
    uids = {name: server.seen.uid for name, server in region.machine.servers.items()}
    region.cluster.instances.clear()
    region.lead(region.second)
    await region.cluster.until(lambda: any(r.leader_term == 2 and r.complete for r in region.cluster.reports))
    for replica in (0, 1):
        await region.cluster.until_state(name_of(topology, replica), HEALTHY)
    assert {name: server.seen.uid for name, server in region.machine.servers.items()} == uids
    await eventually(lambda: sorted(beat.is_follower for beat in region.cluster.beats.values()) == [False, True])


async def test_instances_go_when_the_slower_envoy_has_left_them(region: Region, port: int) -> None:
    """The leader's own Envoy is not asked alone; the other replica says what it still serves until it has left it."""
    old, new = region.first.topology(port=port), region.first.topology(port=port)
    for topology in (old, new):
        await region.cluster.put(topology)
        await region.cluster.until_state(name_of(topology), HEALTHY)
    await region.cluster.route("a.example", old.deployment_id)
    await eventually(lambda: region.second.ingress.lists(old.deployment_id))
    region.second.ingress.is_held = True
    region.cluster.held.add(old.deployment_id)
    await region.cluster.route("a.example", new.deployment_id)
    old.stopped = True
    version = await region.cluster.put(old)
    asked = await region.cluster.until(lambda: region.cluster.releases)
    assert (asked[0].version, list(asked[0].deployment_ids)) == (version, [old.deployment_id])
    assert name_of(old) in region.machine.servers
    region.second.ingress.release()
    slow = replica_id(region.second.folder / "krane")
    await region.cluster.until(
        lambda: [
            r for r in region.cluster.applied if r.replica_id == slow and r.version >= version and not r.still_served
        ]
    )
    assert name_of(old) in region.machine.servers, "the api has not said so yet"
    region.cluster.held.clear()
    await eventually(lambda: name_of(old) not in region.machine.servers)
    assert name_of(new) in region.machine.servers


async def test_a_restart_leaves_both_envoys_first(region: Region, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader ends instances; each has left the endpoints of both replicas by then, and both serve the others."""
    topology = region.first.topology(port=port, replicas=2)
    await region.cluster.put(topology)
    kranes = (region.first, region.second)
    for krane in kranes:
        await eventually(lambda k=krane: len(k.ingress.healthy(topology.deployment_id)) == 2)  # type: ignore[misc]
    served: list[list[tuple[bool, int]]] = []
    real_remove = region.machine.remove

    async def remove(server: Server) -> None:
        endpoints = [krane.ingress.healthy(topology.deployment_id) for krane in kranes]
        served.append([(server.seen.address in {e.address for e in one}, len(one)) for one in endpoints])
        await real_remove(server)

    monkeypatch.setattr(region.machine, "remove", remove)
    topology.restart_generation = 3
    await region.cluster.put(topology)
    names = {name_of(topology, replica) for replica in (0, 1)}
    await eventually(
        lambda: (
            region.machine.servers.keys() == names
            and all(one.seen.restart_generation == 3 for one in region.machine.servers.values())
        ),
        60,
    )
    assert served == [[(False, 2), (False, 2)]] * 3


async def test_a_replica_that_does_not_count_reports_again(region: Region, port: int) -> None:
    """After its vote expired nothing may have changed since: the api has to hear of it all the same."""
    topology = region.first.topology(port=port)
    await region.cluster.put(topology)
    version = await region.cluster.route("a.example", topology.deployment_id)
    await region.cluster.until(lambda: [r for r in region.cluster.applied if r.version >= version])
    before = len(region.cluster.applied)
    region.cluster.is_counted = False
    await region.cluster.until(lambda: len(region.cluster.applied) > before)


async def test_who_may_be_in_service(tmp_path: Path) -> None:
    """With contact: who is counted. Without: who sees no other with contact, unless the api has said that it does not
    count. One without replicas always may.
    """
    cluster, now = FakeCluster("inst_1"), 100.0
    election = MemoryElection()
    contact = Contact(ClusterApi(cluster.address, KEY), "r", is_shared=True, monotonic=lambda: now)
    service = Service(lambda: True)
    assert service.is_ready()
    service.use(contact, MemoryReplicas(election, "r"))
    assert service.is_ready(), "the api is away, and no other replica has contact"
    election.seen = 50.0
    assert not service.is_ready()
    contact._last, contact.is_counted = 99.0, False
    assert not service.is_ready()
    contact.is_counted = True
    assert service.is_ready()
    now = 109.5
    election.seen = 98.0
    assert not contact.is_there
    assert service.is_ready(), "the others lost contact before"
    contact.is_counted = False
    assert not service.is_ready(), "what it has is stale, whoever has contact"
    contact.is_counted = True
    election.seen = 100.0
    assert not service.is_ready()


async def test_a_new_registration_does_not_say_who_is_counted() -> None:
    """Its vote may have expired while contact was lost: it is out of service until the api counts it."""
    now = 100.0
    election = MemoryElection()
    cluster = FakeCluster("inst_1")
    await cluster.start()
    api = ClusterApi(cluster.address, KEY)
    try:
        contact = Contact(api, "r", is_shared=True, monotonic=lambda: now)
        service = Service(lambda: True)
        service.use(contact, MemoryReplicas(election, "r"))
        await contact.register(pb.RegisterRequest(region="local"))
        assert not service.is_ready(), "nothing was said yet"
        await contact.heartbeat(pb.HeartbeatRequest(region="local"))
        await contact.register(pb.RegisterRequest(region="local"))
        assert service.is_ready(), "contact was never lost"
        now = 200.0
        await contact.register(pb.RegisterRequest(region="local"))
        assert contact.is_there
        assert not service.is_ready()
        await contact.heartbeat(pb.HeartbeatRequest(region="local"))
        assert service.is_ready()
    finally:
        await api.close()
        await cluster.stop()


async def test_a_replica_that_has_left_is_silent() -> None:
    """Nothing that its tasks still say makes it known again."""
    cluster = FakeCluster("inst_1")
    await cluster.start()
    api = ClusterApi(cluster.address, KEY)
    try:
        contact = Contact(api, "r", is_shared=True)
        await contact.register(pb.RegisterRequest(region="local"))
        await contact.leave("local", "inst_1")
        assert cluster.beats["r"].is_leaving
        later = [
            asyncio.create_task(contact.register(pb.RegisterRequest(region="local"))),
            asyncio.create_task(contact.heartbeat(pb.HeartbeatRequest(region="local"))),
            asyncio.create_task(contact.report_applied(pb.ReportAppliedRequest(region="local"))),
        ]
        done, _ = await asyncio.wait(later, timeout=0.3)
        assert not done
        assert (len(cluster.registrations), cluster.heartbeats, cluster.applied) == (1, 1, [])
        for one in later:
            one.cancel()
    finally:
        await api.close()
        await cluster.stop()


def test_a_replica_keeps_its_id(tmp_path: Path) -> None:
    """For as long as its state is kept; a file that makes no sense, or a disk that is full, costs the id alone."""
    folder = tmp_path / "krane"
    first = replica_id(folder)
    assert replica_id(folder) == first
    assert (folder / "replica").stat().st_mode & 0o777 == 0o600
    (folder / "replica").write_bytes(b"\xff\n")
    second = replica_id(folder)
    assert second not in ("", first)
    assert replica_id(folder) == second
    (tmp_path / "file").touch()
    assert replica_id(tmp_path / "file" / "krane") != replica_id(tmp_path / "file" / "krane")


def test_metrics_say_what_a_replica_is() -> None:
    """They are asked at each scrape."""
    metrics = KraneMetrics(Metrics("krane", "inst_test"), "eu")
    is_leading = False
    metrics.replica({"leading": lambda: is_leading, "counted": lambda: True})
    assert 'sealift_krane_replica{state="leading"} 0.0' in metrics.metrics.render().decode()
    is_leading = True
    metrics.leads()
    text = metrics.metrics.render().decode()
    assert 'sealift_krane_replica{state="leading"} 1.0' in text
    assert "sealift_krane_leaderships_total 1.0" in text


async def test_only_the_leader_runs_jobs(region: Region, port: int) -> None:
    """The next leader goes on with what runs; none starts a second one, and each says so with its term."""
    job = pb.DesiredJob(
        job_id=new_id("job"), kind=job_pb2.JOB_KIND_RELEASE, of=region.first.topology(port=port), timeout_s=60
    )
    await region.cluster.put_job(job)
    await region.cluster.until_job(job.job_id, job_pb2.JOB_STATUS_RUNNING)
    name = job_name(job.job_id)
    uid = region.machine.servers[name].seen.uid
    region.lead(region.second)
    region.cluster.job_reports.clear()
    await region.cluster.until_job(job.job_id, job_pb2.JOB_STATUS_RUNNING)
    assert region.machine.servers[name].seen.uid == uid
    assert {request.leader_term for request in region.cluster.job_requests} == {1, 2}
    job.stopped = True
    await region.cluster.put_job(job)
    await region.cluster.until_job(job.job_id, job_pb2.JOB_STATUS_STOPPED)
    await eventually(lambda: region.machine.servers == {})
    late = [request for request in region.cluster.job_requests if request.leader_term == 2]
    assert late[-1].jobs[0].status == job_pb2.JOB_STATUS_STOPPED
