"""Commands in containers, on a real engine: the contract, and what krane does without seeing their processes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pkg.ids import new_id
from svc.krane.runtime.contract import running
from svc.krane.runtime.docker import exec_processes
from svc.krane.runtime.exec_contract import ExecContract, all_of, spec, started, until, until_gone
from svc.krane.runtime.execs import ExecEnd
from svc.krane.runtime.port import DeploymentSpec
from svc.krane.testing import engine
from svc.krane.testing.docker_rig import DockerRig

BUSYBOX = Path("/bin/busybox")
INSTALL = ("COPY file /bin/busybox", 'RUN ["/bin/busybox", "--install", "-s", "/bin"]', "ENV PATH=/bin")


@dataclass
class BusyboxRig(DockerRig):
    """A rig whose image has a shell."""

    def spec(self) -> DeploymentSpec:
        """See `RuntimeRig`."""
        return replace(super().spec(), command=("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"))


@pytest.fixture
async def rig() -> AsyncIterator[BusyboxRig]:
    client, installation_id = engine.client(), new_id("inst")
    image = engine.derived_image(client, "scratch", INSTALL, installation_id, BUSYBOX.read_bytes())
    rig = BusyboxRig(client, image, installation_id)
    try:
        await rig.make().open()
        yield rig
    finally:
        for runtime in rig.made:
            await runtime.close()
        engine.remove_all(client, installation_id)
        client.close()


class TestDockerExecs(ExecContract):
    """The contract, by a krane that sees the processes of containers."""


class TestUnseenExecs(ExecContract):
    """The contract, by a krane that does not, as in a container of its own."""

    @pytest.fixture(autouse=True)
    def unseen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(exec_processes, "is_visible", lambda *_: False)


async def test_a_command_ends_although_what_it_started_holds_its_output(rig: BusyboxRig) -> None:
    """Promise: what a command leaves in the background does not keep its client waiting."""
    seen = await running(rig.runtime, rig.spec())
    async with started(rig.runtime, seen, spec("sh", "-c", "sleep 600 & echo begun")) as process:
        assert await all_of(process) == (b"begun\n", b"", ExecEnd(0))


async def test_what_hides_its_mark(rig: BusyboxRig) -> None:
    """Promise: processes without the variable are ended with the command's session."""
    seen = await running(rig.runtime, rig.spec())
    script = "env -i sleep 7654321 & echo ready; wait"
    async with started(rig.runtime, seen, spec("sh", "-c", script)) as process:
        await until(process, b"ready")
    await until_gone(rig.runtime, seen, b"sleep 7654321")


def test_nothing_but_a_container_is_touched(tmp_path: Path) -> None:
    """Promise: a process is of a command only by its control group and its mark or session; this one is not."""
    ours, other = "a" * 64, "b" * 64

    def process(number: int, group: str, environment: bytes, session: int, state: str = "S") -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "cgroup").write_text(f"4:memory:/docker/{group}\n0::/system.slice/docker-{group}.scope\n")
        (folder / "environ").write_bytes(environment)
        (folder / "stat").write_text(f"{number} (a) b) {state} 1 {session} {session} 0 -1\n")

    mark = b"A=1\0SEALIFT_EXEC_ID=exec_1\0B=2\0"
    process(10, ours, mark, 10)
    process(11, other, mark, 11)
    process(12, ours, b"XSEALIFT_EXEC_ID=exec_1\0", 12)
    process(13, ours, b"SEALIFT_EXEC_ID=exec_2", 13)
    process(14, ours, b"", 10)
    process(15, other, b"", 10)
    process(16, ours, b"", 10, state="Z")
    (tmp_path / "self").mkdir()
    assert sorted(exec_processes.of_exec(ours, "exec_1", 10, tmp_path)) == [10, 14]
    assert sorted(exec_processes.of_exec(ours, "exec_1", 0, tmp_path)) == [10]
    assert sorted(exec_processes.marked([ours], tmp_path)) == [10, 13]
