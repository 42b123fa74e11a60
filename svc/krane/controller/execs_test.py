"""Commands through a whole krane: asked for by the control plane, run by a runtime whose instances are in memory."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pkg.desired.processes import workload_id
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import deployment_pb2
from sealift.ctrl.v1 import exec_pb2 as pb
from svc.krane.run import Timing
from svc.krane.runtime.port import instance_name
from svc.krane.testing.exec_calls import FakeExecCall
from svc.krane.testing.harness import KraneHarness, eventually, name_of
from svc.krane.testing.memory import Machine
from svc.krane.testing.memory_krane import memory_krane


class Scene:
    """A krane with one instance."""

    def __init__(self, harness: KraneHarness, machine: Machine, deployment_id: str, name: str) -> None:
        self.harness = harness
        self.machine = machine
        self.deployment_id = deployment_id
        self.name = name

    def ask(self, *command: str, stdin: bool = False, replica: int = 0) -> FakeExecCall:
        """Asks for a command."""
        start = pb.ExecStart(deployment_id=self.deployment_id, replica=replica, command=command, stdin=stdin)
        return self.harness.cluster.ask(start, self.name)


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    machine = Machine()
    async with memory_krane(tmp_path, machine, monkeypatch) as harness:
        harness.timing = Timing(resync_s=0.2, stop_grace_s=1, drain_s=0.2)
        topology = harness.topology(port=18_080)
        await harness.start_krane()
        await harness.cluster.put(topology)
        await harness.cluster.until_state(name_of(topology), deployment_pb2.INSTANCE_STATE_HEALTHY)
        yield Scene(harness, machine, topology.deployment_id, name_of(topology))
    for server in list(machine.servers.values()):
        await machine.remove(server)


async def started(call: FakeExecCall) -> None:
    assert (await call.next()).output.HasField("started")


def is_alive(pid: int) -> bool:
    """Whether it runs; one that has ended and is not waited for does not."""
    try:
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


async def pid_of(call: FakeExecCall) -> int:
    """That the command prints first."""
    return int((await call.next()).output.stdout)


async def test_a_command_runs_and_its_code_comes_last(scene: Scene) -> None:
    """Promise: what it prints comes apart and whole; then its exit code, and the call ends."""
    call = scene.ask("sh", "-c", "echo out; echo err >&2; exit 3")
    first = (await call.next()).output.started
    assert (first.instance_id, first.region) == (scene.name, "test")
    assert await call.until_exit() == (b"out\n", b"err\n", pb.ExecExit(exit_code=3))
    await asyncio.wait_for(call.is_over.wait(), WAIT_S)


async def test_stdin_is_confirmed_as_it_is_taken(scene: Scene) -> None:
    """Promise: what the command has taken is confirmed, so that the client may send more; all of it arrives."""
    call, data, sent = scene.ask("cat", stdin=True), os.urandom(1 << 20), 0
    await started(call)
    out, taken = b"", 0
    while len(out) < len(data):
        while sent < len(data) and sent - taken < 262_144:
            call.send(stdin=data[sent : sent + 65_536])
            sent += 65_536
        message = (await call.next()).output
        out, taken = out + message.stdout, message.stdin_taken or taken
    call.send(stdin_end=pb.StdinEnd())
    assert out == data
    assert (await call.until_exit())[2].exit_code == 0


async def test_a_signal_passes_a_command_that_does_not_read(scene: Scene) -> None:
    """Promise: a command that reads nothing gets its signals nevertheless."""
    call = scene.ask("sh", "-c", "trap 'exit 5' INT; echo ready; while :; do sleep 0.05; done", stdin=True)
    await started(call)
    assert (await call.next()).output.stdout == b"ready\n"
    for _ in range(3):
        call.send(stdin=b"x" * 65_536)
    call.send(signal=pb.EXEC_SIGNAL_INT)
    assert (await call.until_exit())[2].exit_code == 5


async def test_too_much_stdin_ends_the_command(scene: Scene) -> None:
    """Promise: krane holds no more stdin than it has said, whatever the api sends."""
    call = scene.ask("sh", "-c", "echo $$; exec sleep 600", stdin=True)
    await started(call)
    pid = await pid_of(call)
    for _ in range(8):
        call.send(stdin=b"x" * 65_536)
    while not (message := await call.next()).HasField("refusal"):
        pass
    assert message.refusal.code == "exec.stdin_window"
    await eventually(lambda: not is_alive(pid))


async def test_the_end_of_the_call_ends_the_command(scene: Scene) -> None:
    """Promise: when the client has left, and when krane stops or loses the api, nothing of the command is left."""
    script = ("sh", "-c", "trap '' HUP TERM; echo $$; sleep 600 & wait")
    for end in ("client", "api", "krane"):
        call = scene.ask(*script, stdin=True)
        await started(call)
        pid = await pid_of(call)
        if end == "client":
            call.inputs.put_nowait(None)
        elif end == "api":
            await scene.harness.cluster.stop()
        else:
            await scene.harness.stop_krane()
        await eventually(lambda pid=pid: not is_alive(pid))  # type: ignore[misc]
        if end == "api":
            await scene.harness.cluster.start()


async def test_a_command_in_an_instance_of_a_process(scene: Scene) -> None:
    """Promise: a process has instances of its own numbers; a command that names it runs in one of them."""
    topology = scene.harness.topology(port=18_081)
    topology.settings.processes.values.add(name="worker", replicas=1, memory_mib=64, cpu_millicores=100).command.values[
        :
    ] = ["x"]
    await scene.harness.cluster.put(topology)
    name = instance_name(workload_id(topology.deployment_id, "worker"), 0)
    await scene.harness.cluster.until_state(name, deployment_pb2.INSTANCE_STATE_HEALTHY)
    start = pb.ExecStart(deployment_id=topology.deployment_id, process="worker", command=["true"])
    started = (await scene.harness.cluster.ask(start, name).next()).output.started
    assert started.instance_id == name
    assert started.deployment_id == topology.deployment_id


async def test_what_does_not_run_is_refused(scene: Scene) -> None:
    """Promise: an instance that is gone, or does not run, is named with the reason."""
    refusal = (await scene.ask("true", replica=3).next()).refusal
    assert (refusal.status, refusal.code) == ("FAILED_PRECONDITION", "exec.not_running")
    assert "does not exist" in refusal.message


async def test_a_command_that_its_instance_takes_along(scene: Scene) -> None:
    """Promise: a command that was killed while its instance ended is told apart from one that was killed."""
    call = scene.ask("sh", "-c", "echo ready; kill -9 $$")
    await started(call)
    assert (await call.until_exit())[2] == pb.ExecExit(exit_code=137)
    call = scene.ask("sh", "-c", "echo $$; sleep 600")
    await started(call)
    pid = await pid_of(call)
    server = scene.machine.servers[scene.name]
    server.seen = replace(server.seen, started_at_ms=server.seen.started_at_ms + 1)
    os.killpg(pid, 9)
    last = (await call.until_exit())[2]
    assert (last.exit_code, last.problem.code) == (137, "exec.instance_ended")
    assert "runs again" in last.problem.message
