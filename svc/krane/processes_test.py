"""A krane with processes beside web instances, on a runtime in memory."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pkg.desired.processes import workload_id
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import common_pb2
from svc.krane.controller import topology as topologies
from svc.krane.controller.instance import FAILED, HEALTHY, STOPPED, UNHEALTHY
from svc.krane.run import Timing
from svc.krane.runtime.contract import ENDED_AT_ONCE
from svc.krane.runtime.port import instance_name
from svc.krane.testing.harness import KraneHarness, name_of
from svc.krane.testing.memory import Machine
from svc.krane.testing.memory_krane import memory_krane


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    machine = Machine()
    yield machine
    for server in list(machine.servers.values()):
        await machine.remove(server)


@pytest.fixture
async def harness(tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KraneHarness]:
    """A krane that runs, and takes a process for healthy after a moment."""
    monkeypatch.setattr(topologies, "HEALTHY_AFTER_S", 0.3)
    async with memory_krane(tmp_path, machine, monkeypatch) as harness:
        harness.timing = Timing(resync_s=0.2, stop_grace_s=1, drain_s=0.2, retry_s=(0.2, 1.0))
        await harness.start_krane()
        yield harness


def with_worker(harness: KraneHarness, replicas: int = 1, variables: dict[str, str] | None = None) -> pb.Topology:
    """A deployment with a worker beside its web instance."""
    with socket.socket() as free:
        free.bind(("0.0.0.0", 0))
        port = int(free.getsockname()[1])
    made = harness.topology(port=port, variables=variables or {})
    command = common_pb2.StringList(values=["worker"])
    made.settings.processes.values.add(name="worker", command=command, replicas=replicas, memory_mib=32)
    return made


def worker_name(topology: pb.Topology, replica: int = 0) -> str:
    """Of an instance of its worker."""
    return instance_name(workload_id(topology.deployment_id, "worker"), replica)


async def test_a_process_is_healthy_once_it_has_stayed_up(harness: KraneHarness, machine: Machine) -> None:
    """Promise: it runs its own command without a port, is reported by its process, and is never in the ingress."""
    topology = with_worker(harness, replicas=2)
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    for replica in (0, 1):
        report = await harness.cluster.until_state(worker_name(topology, replica), HEALTHY)
        assert (report.deployment_id, report.process, report.replica) == (topology.deployment_id, "worker", replica)
    web = harness.cluster.instances[name_of(topology)]
    assert (web.process, web.deployment_id) == ("", topology.deployment_id)
    spec = machine.servers[worker_name(topology)].spec
    assert (spec.command, spec.port, spec.memory_mib, spec.process) == (("worker",), 0, 32, "worker")
    assert machine.servers[name_of(topology)].spec.memory_mib == 64
    assert len(harness.ingress.healthy(topology.deployment_id)) == 1
    assert not harness.ingress.healthy(workload_id(topology.deployment_id, "worker"))


async def test_a_process_that_ends_at_once_is_failed(harness: KraneHarness) -> None:
    """Promise: the end is told with exit code, output and a code of its own, and nothing is restarted."""
    topology = with_worker(harness, variables={ENDED_AT_ONCE: "7"})
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(worker_name(topology), FAILED)
    assert report.code == "process.ended"
    assert "exited with code 7" in report.reason
    assert list(report.log_tail) == ["as told"]


async def test_a_short_start_timeout_is_of_web(harness: KraneHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a start timeout below the time that a process has to stay up fails no process."""
    monkeypatch.setattr(topologies, "HEALTHY_AFTER_S", 2.0)
    topology = with_worker(harness)
    topology.settings.health_check.start_timeout_s = 1
    await harness.cluster.put(topology)
    await harness.cluster.until_state(worker_name(topology), HEALTHY)


async def test_processes_stop_while_web_goes_on_and_come_back(harness: KraneHarness, machine: Machine) -> None:
    """Promise: on standby the processes end and web stays warm; once they are wanted again, they start."""
    topology = with_worker(harness)
    await harness.cluster.put(topology)
    await harness.cluster.until_state(worker_name(topology), HEALTHY)
    web = machine.servers[name_of(topology)].seen.uid
    topology.processes_stopped = True
    await harness.cluster.put(topology)
    await harness.cluster.until_state(worker_name(topology), STOPPED)
    assert set(machine.servers) == {name_of(topology)}
    topology.processes_stopped = False
    await harness.cluster.put(topology)
    await harness.cluster.until_state(worker_name(topology), HEALTHY)
    assert machine.servers[name_of(topology)].seen.uid == web


async def test_a_stop_ends_web_first(harness: KraneHarness, machine: Machine) -> None:
    """Promise: while web instances are there, which may give it work, a process of a stopping deployment goes on."""
    topology = with_worker(harness)
    await harness.cluster.put(topology)
    await harness.cluster.route("app.example", topology.deployment_id)
    await harness.cluster.until_state(worker_name(topology), HEALTHY)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    topology.stopped = True
    await harness.cluster.put(topology)
    await harness.stop_krane()  # with web still routed: a new krane sees only a stopped topology
    await harness.start_krane()
    await harness.cluster.until(lambda: harness.cluster.reports[-1].complete)
    assert set(machine.servers) == {name_of(topology), worker_name(topology)}
    harness.cluster.routes.clear()
    await harness.cluster.change(pb.WatchDesiredStateResponse(route_removed=pb.RouteRemoved(hostname="app.example")))
    await harness.cluster.until_state(name_of(topology), STOPPED)
    await harness.cluster.until_state(worker_name(topology), STOPPED)
    assert machine.servers == {}


async def test_the_number_of_a_process_changes(harness: KraneHarness, machine: Machine) -> None:
    """Promise: only instances of that process are made or ended; 0 ends all of them."""
    topology = with_worker(harness)
    await harness.cluster.put(topology)
    await harness.cluster.until_state(worker_name(topology), HEALTHY)
    kept = {name: server.seen.uid for name, server in machine.servers.items()}
    topology.settings.processes.values[0].replicas = 3
    await harness.cluster.put(topology)
    await harness.cluster.until_state(worker_name(topology, 2), HEALTHY)
    assert {name: machine.servers[name].seen.uid for name in kept} == kept
    topology.settings.processes.values[0].replicas = 0
    await harness.cluster.put(topology)
    for replica in range(3):
        await harness.cluster.until_state(worker_name(topology, replica), STOPPED)
    assert set(machine.servers) == {name_of(topology)}


async def test_a_restart_makes_no_second_worker(harness: KraneHarness, machine: Machine) -> None:
    """Promise: web gets a stand-in for the time of a restart; of a process no instance more than wanted ever runs."""
    topology = with_worker(harness)
    await harness.cluster.put(topology)
    await harness.cluster.route("app.example", topology.deployment_id)
    for name in (name_of(topology), worker_name(topology)):
        await harness.cluster.until_state(name, HEALTHY)
    before = machine.servers[worker_name(topology)].seen.uid
    topology.restart_generation = 9
    await harness.cluster.put(topology)

    def renewed() -> bool:
        report = harness.cluster.instances[worker_name(topology)]
        return report.restart_generation == 9 and report.state == HEALTHY

    await harness.cluster.until(renewed)
    assert machine.servers[worker_name(topology)].seen.uid != before
    assert worker_name(topology, 1) not in {r.instance_id for one in harness.cluster.reports for r in one.instances}


async def test_what_was_healthy_is_started_again_and_told(harness: KraneHarness, machine: Machine) -> None:
    """Promise: a process that ends later is restarted by the runtime, and unhealthy until it has stayed up again."""
    topology = with_worker(harness)
    await harness.cluster.put(topology)
    await harness.cluster.until_state(worker_name(topology), HEALTHY)
    await machine.end(machine.servers[worker_name(topology)], 5)
    report = await harness.cluster.until_state(worker_name(topology), UNHEALTHY)
    assert report.last_exit.exit_code == 5
    report = await harness.cluster.until_state(worker_name(topology), HEALTHY)
    assert report.restarts == 1


async def test_the_next_krane_adopts_processes(harness: KraneHarness, machine: Machine) -> None:
    """Promise: a restart of krane restarts no process, and loses no line of its log to another name."""
    topology = with_worker(harness)
    await harness.cluster.put(topology)
    await harness.cluster.until_state(worker_name(topology), HEALTHY)
    before = {name: server.seen.uid for name, server in machine.servers.items()}
    await harness.stop_krane()
    await harness.start_krane()
    await harness.cluster.until(lambda: len(harness.ingress.healthy(topology.deployment_id)) == 1 or None)
    await machine.servers[worker_name(topology)].print("after")
    log = await harness.cluster.until(
        lambda: next((one for one in harness.cluster.logs.values() if "after" in one.texts), None)
    )
    assert (log.deployment_id, log.instance_id) == (topology.deployment_id, worker_name(topology))
    assert {name: server.seen.uid for name, server in machine.servers.items()} == before
