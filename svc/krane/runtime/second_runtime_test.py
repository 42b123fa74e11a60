"""A second runtime, made for this test alone: instances are servers in this process.

It needs what is in this file, and one line in the factory: the contract holds for it, and a whole krane runs on it.
"""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pkg.config import ConfigError
from pkg.errors import FailedPrecondition, Unavailable
from pkg.ids import new_id
from pkg.images import ImageRef, StoredImage
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.config import KraneConfig
from svc.krane.controller import instance
from svc.krane.run import Timing
from svc.krane.runtime import factory
from svc.krane.runtime.contract import ENDED_AT_ONCE, RuntimeContract
from svc.krane.runtime.port import (
    CandidatePorts,
    DeploymentSpec,
    EventKind,
    InstanceEvent,
    InstanceRef,
    InstanceStatus,
    Observation,
    Output,
    Runtime,
    RuntimeContext,
    WantedReplicas,
    instance_name,
)
from svc.krane.testing.cluster import FakeCluster
from svc.krane.testing.harness import KraneHarness, name_of

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
UNHEALTHY = deployment_pb2.INSTANCE_STATE_UNHEALTHY
FAILED = deployment_pb2.INSTANCE_STATE_FAILED
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED
IMAGE_ID = "sha256:1"


@dataclass
class Server:
    """One instance: a server on an address of its own, until its app ends."""

    installation_id: str
    spec: DeploymentSpec
    seen: Observation
    listener: asyncio.Server | None = None
    output: list[str] = field(default_factory=list)


class Machine:
    """What outlives a `MemoryRuntime`, as an engine outlives krane."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.followers: list[tuple[str, asyncio.Queue[InstanceEvent]]] = []
        self.load = 0  # how many instances an autoscaler would want
        self.no_metrics = ""
        self._numbers = itertools.count(1)

    async def create(self, installation_id: str, spec: DeploymentSpec, replica: int) -> Server:
        """Makes an instance and starts it."""
        number = next(self._numbers)
        name = instance_name(spec.deployment_id, replica)
        seen = Observation(
            name=name,
            uid=f"uid-{number}",
            deployment_id=spec.deployment_id,
            replica=replica,
            status=InstanceStatus.CREATED,
            revision=spec.revision,
            address=f"127.77.{number // 250}.{number % 250 + 1}",
            is_address_assigned=True,
            image_id=ImageRef.parse(spec.image_ref).digest,
            memory_mib=spec.memory_mib,
        )
        server = self.servers[name] = Server(installation_id, spec, seen)
        await self.start(server)
        return server

    async def start(self, server: Server) -> None:
        """Starts its app."""
        started_at_ms = server.seen.started_at_ms + 1000
        server.seen = replace(server.seen, status=InstanceStatus.RUNNING, started_at_ms=started_at_ms)
        if (code := server.spec.variables.get(ENDED_AT_ONCE)) is not None:
            server.output.append("as told")
            await self.end(server, int(code))
            return

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            path = (await reader.readline()).split(b" ")[1:2]
            if path and path[0].startswith(b"/exit/"):
                writer.transport.abort()
                await self.end(server, int(path[0].rpartition(b"/")[2]))
                return
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        server.listener = await asyncio.start_server(serve, server.seen.address, server.spec.port)
        self.tell(server, EventKind.CHANGED)

    async def end(self, server: Server, exit_code: int, *, is_by_hand: bool = False) -> None:
        """Its app ends; what is kept running is started again."""
        if server.listener is not None:
            server.listener.close()
            server.listener = None
        server.seen = replace(server.seen, status=InstanceStatus.EXITED, exit_code=exit_code)
        self.tell(server, EventKind.ENDED, exit_code)
        if server.seen.is_kept_running and not is_by_hand:
            server.seen = replace(server.seen, restarts=server.seen.restarts + 1)
            await self.start(server)

    def close_port(self, name: str) -> None:
        """Nobody listens for an instance any more, and it counts as running."""
        listener = self.servers[name].listener
        assert listener is not None
        listener.close()

    async def remove(self, server: Server) -> None:
        """Nothing of it is left."""
        await self.end(server, 143, is_by_hand=True)
        self.servers.pop(server.seen.name, None)
        self.tell(server, EventKind.CHANGED)

    def scale(self, deployment_id: str, load: int) -> None:
        """The load is another one, and the autoscaler chooses another number."""
        self.load = load
        for _, queue in self.followers:
            queue.put_nowait(InstanceEvent(EventKind.CHANGED, deployment_id))

    def tell(self, server: Server, kind: EventKind, exit_code: int | None = None) -> None:
        """Tells who follows the installation."""
        event = InstanceEvent(kind, server.seen.deployment_id, server.seen.name, exit_code)
        for installation_id, queue in self.followers:
            if installation_id == server.installation_id:
                queue.put_nowait(event)


class MemoryRuntime:
    """See `Runtime`."""

    def __init__(self, machine: Machine, installation_id: str) -> None:
        self._machine = machine
        self._installation_id = installation_id
        self._is_open = False

    async def open(self) -> str:
        """See `Runtime`."""
        self._is_open = True
        return "Memory 1"

    async def check(self) -> str:
        """See `Runtime`."""
        return ""

    async def close(self) -> None:
        """See `Runtime`."""
        self._is_open = False

    async def wanted_replicas(self, spec: DeploymentSpec) -> WantedReplicas:
        """See `Runtime`."""
        self._must_be_open()
        if spec.bounds is None or not spec.replicas:
            return WantedReplicas(spec.replicas)
        return WantedReplicas(spec.bounds.clamp(self._machine.load), self._machine.no_metrics)

    async def apply(
        self, spec: DeploymentSpec, replica: int, seen: Observation | None, *, is_live: bool, keep_running: bool = False
    ) -> Observation:
        """See `Runtime`. What was seen is not needed: everything is known here."""
        server = self._server(instance_name(spec.deployment_id, replica))
        if server is not None and server.seen.revision != spec.revision:
            await self._machine.remove(server)
            server = None
        if server is None:
            if ImageRef.parse(spec.image_ref) != ImageRef.on_engine(IMAGE_ID):
                raise FailedPrecondition("instance.image_missing", f"image {spec.image_ref} is not in memory")
            server = await self._machine.create(self._installation_id, spec, replica)
        elif keep_running:
            server.seen = replace(server.seen, is_kept_running=True)
            if server.seen.status is InstanceStatus.EXITED:
                await self._machine.start(server)
        return _as_seen(server)

    async def delete(self, deployment_id: str, name: str, *, grace_s: int, is_replaced: bool = False) -> None:
        """See `Runtime`."""
        if (server := self._server(name)) is not None:
            await self._machine.remove(server)

    async def observe(self, deployment_id: str, replica: int) -> Observation | None:
        """See `Runtime`."""
        server = self._server(instance_name(deployment_id, replica))
        return None if server is None else _as_seen(server)

    async def list_instances(self, deployment_id: str | None = None) -> list[InstanceRef]:
        """See `Runtime`."""
        self._must_be_open()
        return [
            InstanceRef(one.seen.name, one.seen.deployment_id, one.seen.replica, one.seen.address)
            for one in self._machine.servers.values()
            if one.installation_id == self._installation_id and deployment_id in (None, one.seen.deployment_id)
        ]

    async def events(self) -> AsyncIterator[InstanceEvent]:
        """See `Runtime`."""
        follower = (self._installation_id, asyncio.Queue[InstanceEvent]())
        self._machine.followers.append(follower)
        try:
            while True:
                yield await follower[1].get()
        finally:
            self._machine.followers.remove(follower)

    async def output(self, name: str) -> Output:
        """See `Runtime`."""
        server = self._server(name)
        return Output() if server is None else Output("\n".join(server.output))

    async def candidate_ports(self, seen: Observation) -> CandidatePorts:
        """See `Runtime`."""
        return CandidatePorts()

    async def list_images(self) -> list[StoredImage]:
        """See `Runtime`."""
        return []

    async def delete_image(self, image: StoredImage) -> bool:
        """See `Runtime`."""
        return True

    async def collect_garbage(self) -> None:
        """See `Runtime`."""

    def _server(self, name: str) -> Server | None:
        self._must_be_open()
        server = self._machine.servers.get(name)
        return server if server is not None and server.installation_id == self._installation_id else None

    def _must_be_open(self) -> None:
        if not self._is_open:
            raise Unavailable("engine.unavailable", "the memory is not open")


def _as_seen(server: Server) -> Observation:
    is_running = server.seen.status is InstanceStatus.RUNNING
    return server.seen if is_running else replace(server.seen, address="")


@dataclass
class MemoryRig:
    """See `RuntimeRig`."""

    machine: Machine
    port: int
    installation_id: str = "inst_memory"
    made: list[MemoryRuntime] = field(default_factory=list)

    @property
    def runtime(self) -> MemoryRuntime:
        """The first one."""
        return self.made[0]

    def make(self, installation_id: str = "") -> MemoryRuntime:
        """See `RuntimeRig`."""
        self.made.append(MemoryRuntime(self.machine, installation_id or self.installation_id))
        return self.made[-1]

    def spec(self) -> DeploymentSpec:
        """See `RuntimeRig`."""
        image_ref = str(ImageRef.on_engine(IMAGE_ID))
        return DeploymentSpec(new_id("dep"), "ws_1", "proj_1", "env_1", 1, image_ref, 500, 64, self.port)

    async def stop_by_hand(self, name: str) -> None:
        """See `RuntimeRig`."""
        await self.machine.end(self.machine.servers[name], 137, is_by_hand=True)

    async def remove_by_hand(self, name: str) -> None:
        """See `RuntimeRig`."""
        await self.machine.remove(self.machine.servers[name])


@pytest.fixture
def port() -> int:
    """One that nobody listens on."""
    with socket.socket() as free:
        free.bind(("0.0.0.0", 0))
        return int(free.getsockname()[1])


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    machine = Machine()
    yield machine
    for server in list(machine.servers.values()):
        await machine.remove(server)


class TestMemoryRuntime(RuntimeContract):
    """The contract, without an engine."""

    @pytest.fixture
    async def rig(self, machine: Machine, port: int) -> MemoryRig:
        rig = MemoryRig(machine, port)
        await rig.make().open()
        return rig


@pytest.fixture
async def harness(tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KraneHarness]:
    """A krane that runs its instances in memory. This is all that registers the runtime."""

    def make(_: KraneConfig, context: RuntimeContext) -> Runtime:
        return MemoryRuntime(machine, context.installation_id)

    monkeypatch.setattr(factory, "BACKENDS", {**factory.BACKENDS, "memory": make})
    cluster = FakeCluster(new_id("inst"))
    await cluster.start()
    harness = KraneHarness(tmp_path, IMAGE_ID, cluster, cluster.installation_id, backend="memory")
    yield harness
    await harness.stop_krane()
    await cluster.stop()


async def test_a_whole_krane_runs_on_it(harness: KraneHarness, machine: Machine, port: int) -> None:
    """Promise: the controller knows of no engine: deploys, scaling, restarts of krane and stops work on any runtime."""
    harness.timing = Timing(resync_s=0.2, stop_grace_s=1)
    topology = harness.topology(port=port, replicas=2)
    await harness.start_krane()
    await harness.cluster.put(topology)
    for replica in (0, 1):
        await harness.cluster.until_state(name_of(topology, replica), HEALTHY)
    assert harness.cluster.registrations[-1].runtime == "memory"
    uids = {name: server.seen.uid for name, server in machine.servers.items()}
    await harness.stop_krane()
    await harness.start_krane()
    await harness.cluster.until(lambda: len(harness.ingress.healthy(topology.deployment_id)) == 2 or None)
    assert {name: server.seen.uid for name, server in machine.servers.items()} == uids
    topology.settings.replicas = 1
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology, 1), STOPPED)
    assert set(machine.servers) == {name_of(topology)}
    await harness.cluster.remove(topology.deployment_id)
    await harness.cluster.until_state(name_of(topology), STOPPED)
    assert machine.servers == {}


async def test_the_number_follows_the_autoscaler(
    harness: KraneHarness, machine: Machine, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: instances that the autoscaler adds are probed and served, those that it ends leave the ingress first;
    it keeps to the bounds, and why it can't scale is reported."""
    topology = harness.topology(port=port, replicas=1, min_replicas=1, max_replicas=3)
    machine.no_metrics = "no metrics"
    await harness.start_krane()
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), HEALTHY)
    assert report.scaling_notice == "no metrics"
    machine.no_metrics = ""
    machine.scale(topology.deployment_id, 7)
    for replica in range(3):
        await harness.cluster.until_state(name_of(topology, replica), HEALTHY)
    await harness.cluster.until(lambda: len(harness.ingress.healthy(topology.deployment_id)) == 3 or None)
    await harness.cluster.until(lambda: not harness.cluster.instances[name_of(topology)].scaling_notice or None)
    uid = machine.servers[name_of(topology)].seen.uid
    listed_at_end: list[int] = []
    real_remove = machine.remove

    async def remove(server: Server) -> None:
        listed_at_end.append(len(harness.ingress.endpoints[topology.deployment_id]))
        await real_remove(server)

    monkeypatch.setattr(machine, "remove", remove)
    machine.scale(topology.deployment_id, 0)
    for replica in (1, 2):
        await harness.cluster.until_state(name_of(topology, replica), STOPPED)
    assert {name: server.seen.uid for name, server in machine.servers.items()} == {name_of(topology): uid}
    assert listed_at_end == [1, 1]


async def test_what_the_autoscaler_has_ended_by_itself_is_told(
    harness: KraneHarness, machine: Machine, port: int
) -> None:
    """Promise: an instance that was gone before krane looked is reported as stopped, and its number can come back."""
    topology = harness.topology(port=port, replicas=1, min_replicas=1, max_replicas=2)
    machine.load = 2
    await harness.start_krane()
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology, 1), HEALTHY)
    machine.load = 1
    await machine.remove(machine.servers[name_of(topology, 1)])
    await harness.cluster.until_state(name_of(topology, 1), STOPPED)
    assert [one.healthy for one in harness.ingress.endpoints[topology.deployment_id]] == [True]
    machine.scale(topology.deployment_id, 2)
    await harness.cluster.until_state(name_of(topology, 1), HEALTHY)


async def test_what_runs_but_refuses_for_good_is_replaced_one_after_the_other(
    harness: KraneHarness, machine: Machine, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: where the runtime says "running" of apps that are dead, they come back without a person; one that
    answers is left alone, and never are two replicas replaced at once."""
    monkeypatch.setattr(instance, "REFUSED_S", 0.5)
    check = {"path": "/", "interval_ms": 50, "timeout_ms": 500, "start_timeout_s": 20}
    dead, sound = (harness.topology(port=port, replicas=n, health_check=check) for n in (2, 1))
    await harness.start_krane()
    for topology in (dead, sound):
        await harness.cluster.put(topology)
        for replica in range(topology.settings.replicas):
            await harness.cluster.until_state(name_of(topology, replica), HEALTHY)
    names = [name_of(dead, replica) for replica in (0, 1)]
    uids = {name: server.seen.uid for name, server in machine.servers.items()}
    fewest = len(uids)
    real_create = machine.create

    async def create(installation_id: str, spec: DeploymentSpec, replica: int) -> Server:
        nonlocal fewest
        fewest = min(fewest, len(machine.servers))
        return await real_create(installation_id, spec, replica)

    monkeypatch.setattr(machine, "create", create)
    for name in names:
        machine.close_port(name)
    for name in names:
        await harness.cluster.until_state(name, UNHEALTHY)
    for name in names:
        await harness.cluster.until_state(name, HEALTHY)
    now = {name: server.seen.uid for name, server in machine.servers.items()}
    assert [now[name] != uids[name] for name in names] == [True, True]
    assert now[name_of(sound)] == uids[name_of(sound)]
    assert fewest == len(uids) - 1


async def test_a_failed_start_is_told_with_its_output(harness: KraneHarness, port: int) -> None:
    """Promise: verdicts are the controller's, on any runtime."""
    await harness.start_krane()
    topology = harness.topology(port=port, variables={ENDED_AT_ONCE: "4"})
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    assert "exited with code 4 before it was healthy" in report.reason
    assert (report.exit_code, list(report.log_tail)) == (4, ["as told"])


async def test_a_runtime_that_nobody_wrote_is_refused_by_name(harness: KraneHarness) -> None:
    """Promise: a backend with a typing error ends krane at its start, with the names that there are."""
    harness.backend = "dokcer"
    with pytest.raises(ConfigError, match=r"runtime.backend: expected one of docker, kubernetes, memory, got 'dokcer'"):
        factory.make(harness.config(), RuntimeContext("inst_1", frozenset))
