"""A second runtime, whose instances are servers in this process (`svc.krane.testing.memory`).

It needs one line in the factory: the contract holds for it, and a whole krane runs on it.
"""

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pkg.config import ConfigError
from pkg.ids import new_id
from pkg.images import ImageRef
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.controller import instance
from svc.krane.run import Timing
from svc.krane.runtime import factory
from svc.krane.runtime.contract import ENDED_AT_ONCE, RuntimeContract
from svc.krane.runtime.port import (
    DeploymentSpec,
    RuntimeContext,
)
from svc.krane.testing.harness import KraneHarness, name_of
from svc.krane.testing.memory import IMAGE_ID, Machine, MemoryRuntime, Server
from svc.krane.testing.memory_krane import memory_krane

STARTING = deployment_pb2.INSTANCE_STATE_STARTING
HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
UNHEALTHY = deployment_pb2.INSTANCE_STATE_UNHEALTHY
FAILED = deployment_pb2.INSTANCE_STATE_FAILED
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED


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
    """A krane that runs its instances in memory."""
    async with memory_krane(tmp_path, machine, monkeypatch) as harness:
        yield harness


async def test_a_whole_krane_runs_on_it(harness: KraneHarness, machine: Machine, port: int) -> None:
    """Promise: the controller knows of no engine: deploys, scaling, restarts of krane and stops work on any runtime."""
    harness.timing = Timing(resync_s=0.2, stop_grace_s=1, drain_s=0.2)
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


async def test_what_others_end_takes_no_new_requests(harness: KraneHarness, machine: Machine, port: int) -> None:
    """Promise: an instance that a drain of its node ends leaves the ingress while it still serves, and is not told as
    healthy; its successor comes in once it is healthy."""
    topology = harness.topology(port=port, replicas=2)
    await harness.start_krane()
    await harness.cluster.put(topology)
    for replica in (0, 1):
        await harness.cluster.until_state(name_of(topology, replica), HEALTHY)
    await harness.cluster.until(lambda: len(harness.ingress.healthy(topology.deployment_id)) == 2 or None)
    ended = machine.servers[name_of(topology)]
    machine.begin_end(ended)

    def is_alone() -> bool | None:
        addresses = [one.address for one in harness.ingress.endpoints[topology.deployment_id]]
        return addresses == [machine.servers[name_of(topology, 1)].seen.address] or None

    await harness.cluster.until(is_alone)
    report = await harness.cluster.until_state(name_of(topology), STARTING)
    assert "ending" in report.reason
    assert ended.listener is not None
    await machine.remove(ended)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    await harness.cluster.until(lambda: len(harness.ingress.healthy(topology.deployment_id)) == 2 or None)


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
