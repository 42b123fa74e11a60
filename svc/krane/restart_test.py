"""krane restarts and scales a deployment: no request is lost, and it goes on after the end of a krane."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import docker
import pytest

from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.testing.harness import SERVE, KraneHarness, containers, eventually, name_of
from svc.krane.testing.kubernetes_krane import load
from svc.krane.testing.memory import Machine, Server
from svc.krane.testing.memory_krane import memory_krane

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
FAILED = deployment_pb2.INSTANCE_STATE_FAILED
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED
# The app of the spare instance ends at once, every other one serves.
FAILS_AS_SPARE = f"import socket\nif socket.gethostname().endswith('-1'): raise SystemExit('no room for two')\n{SERVE}"


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


@pytest.fixture
async def in_memory(tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KraneHarness]:
    async with memory_krane(tmp_path, machine, monkeypatch) as harness:
        yield harness


async def started(harness: KraneHarness, topology: pb.Topology) -> None:
    """It runs, and is reported as healthy."""
    await harness.start_krane()
    await harness.cluster.put(topology)
    for replica in range(topology.settings.replicas):
        await harness.cluster.until_state(name_of(topology, replica), HEALTHY)


async def restarted(harness: KraneHarness, topology: pb.Topology) -> None:
    """Every instance is reported as made for the restart, and none beyond the number is left."""

    def is_done() -> bool:
        wanted = [harness.cluster.instances.get(name_of(topology, n)) for n in range(topology.settings.replicas)]
        spare = harness.cluster.instances.get(name_of(topology, topology.settings.replicas))
        return (spare is None or spare.state == STOPPED) and all(
            one is not None and one.state == HEALTHY and one.restart_generation == topology.restart_generation
            for one in wanted
        )

    await harness.cluster.until(is_done, 60)


@pytest.mark.parametrize("replicas", [1, 3])
async def test_a_restart_on_an_engine(harness: KraneHarness, client: docker.APIClient, replicas: int) -> None:
    """Promise: under load no request fails, each container is another one, and nothing else is left."""
    topology = harness.topology(replicas=replicas)
    await started(harness, topology)
    before = {name: client.inspect_container(name)["Id"] for name in containers(client, harness)}
    topology.restart_generation = 7
    async with load(harness, topology.deployment_id) as failed:
        await harness.cluster.put(topology)
        await restarted(harness, topology)
    assert failed == []
    assert containers(client, harness) == before.keys()
    for name, earlier in before.items():
        made = client.inspect_container(name)
        assert made["Id"] != earlier
        assert made["Config"]["Labels"]["sealift.restart"] == "7"


async def test_a_restart_that_fails_leaves_what_serves(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: the only instance is not touched before another one serves; undone, the failed one goes."""
    topology = harness.topology(FAILS_AS_SPARE)
    await started(harness, topology)
    before = client.inspect_container(name_of(topology))["Id"]
    topology.restart_generation = 7
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology, 1), FAILED)
    assert report.restart_generation == 7
    topology.restart_generation = 0
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology, 1), STOPPED)
    assert containers(client, harness) == {name_of(topology)}
    assert client.inspect_container(name_of(topology))["Id"] == before
    assert len(harness.ingress.healthy(topology.deployment_id)) == 1


async def test_a_scale_on_an_engine(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: under load, more instances and fewer again cost no request, and the one that stays is not touched."""
    topology = harness.topology()
    await started(harness, topology)
    before = client.inspect_container(name_of(topology))["Id"]
    async with load(harness, topology.deployment_id) as failed:
        for replicas in (3, 1):
            topology.settings.replicas = replicas
            await harness.cluster.put(topology)
            await eventually(lambda n=replicas: len(harness.ingress.healthy(topology.deployment_id)) == n, 60)  # type: ignore[misc]
        for replica in (1, 2):
            await harness.cluster.until_state(name_of(topology, replica), STOPPED)
    assert failed == []
    assert client.inspect_container(name_of(topology))["Id"] == before


@pytest.mark.parametrize("end_at", [1, 2, 3])
async def test_the_next_krane_goes_on(
    in_memory: KraneHarness, machine: Machine, port: int, monkeypatch: pytest.MonkeyPatch, end_at: int
) -> None:
    """Promise: krane ends right after the first, second or last instance has ended; at no moment fewer serve."""
    topology = in_memory.topology(port=port, replicas=2)
    await started(in_memory, topology)
    removed, may_go_on = asyncio.Semaphore(0), asyncio.Event()
    served: list[int] = []
    real_remove = machine.remove

    async def remove(server: Server) -> None:
        serving = [one for one in machine.servers.values() if one.listener is not None and one is not server]
        served.append(len(serving))
        await real_remove(server)
        removed.release()
        if len(served) == end_at:
            await may_go_on.wait()

    monkeypatch.setattr(machine, "remove", remove)
    topology.restart_generation = 3
    await in_memory.cluster.put(topology)
    for _ in range(end_at):
        await asyncio.wait_for(removed.acquire(), 60)
    ending = asyncio.create_task(in_memory.stop_krane())
    may_go_on.set()
    await ending
    await in_memory.start_krane()
    await restarted(in_memory, topology)
    await eventually(lambda: machine.servers.keys() == {name_of(topology, replica) for replica in (0, 1)})
    assert [server.seen.restart_generation for server in machine.servers.values()] == [3, 3]
    assert min(served) >= 2


async def test_a_scale_and_another_restart_meanwhile(in_memory: KraneHarness, machine: Machine, port: int) -> None:
    """Promise: the newer number and the newer restart win, whatever the earlier ones had come to."""
    topology = in_memory.topology(port=port, replicas=2)
    await started(in_memory, topology)
    topology.restart_generation = 3
    await in_memory.cluster.put(topology)
    await eventually(lambda: any(one.seen.restart_generation == 3 for one in machine.servers.values()))
    topology.settings.replicas, topology.restart_generation = 3, 5
    await in_memory.cluster.put(topology)
    await restarted(in_memory, topology)
    topology.settings.replicas, topology.restart_generation = 1, 6
    await in_memory.cluster.put(topology)
    await restarted(in_memory, topology)
    await eventually(lambda: machine.servers.keys() == {name_of(topology)})
    assert machine.servers[name_of(topology)].seen.restart_generation == 6


async def test_a_restart_where_an_autoscaler_holds_the_number(
    in_memory: KraneHarness, machine: Machine, port: int
) -> None:
    """Promise: one after the other is made again, and none beyond the number."""
    topology = in_memory.topology(port=port, replicas=1, min_replicas=1, max_replicas=2)
    machine.load = 2
    await started(in_memory, topology)
    await in_memory.cluster.until_state(name_of(topology, 1), HEALTHY)
    topology.restart_generation = 3
    await in_memory.cluster.put(topology)
    await eventually(lambda: all(one.seen.restart_generation == 3 for one in machine.servers.values()), 60)
    assert len(machine.servers) == 2
