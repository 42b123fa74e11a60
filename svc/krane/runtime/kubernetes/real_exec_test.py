"""Commands in real Pods: the contract, what a guard does, and images without a shell."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pkg.testing.kubernetes.images import BUSYBOX, Image
from pkg.testing.kubernetes.real_node import Cluster
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S
from svc.krane.runtime.contract import running
from svc.krane.runtime.exec_contract import ExecContract, all_of, spec, started, until, until_gone
from svc.krane.runtime.execs import ExecEnd
from svc.krane.testing.kubernetes import KubernetesRig, opened

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

TOOLS = ("sh", "cat", "dd", "head", "printf", "sleep", "stty", "tr", "true", "yes")
IMAGE, BARE = "sealift-test/tools:1", "sealift-test/bare:1"
SERVE = b"trap 'exit 0' TERM\nwhile :; do sleep 1; done\n"


def image(name: str, links: Mapping[str, str], entrypoint: tuple[str, ...], user: str = "") -> Image:
    files: dict[str, bytes | Path] = {"/bin/busybox": BUSYBOX, "/script": SERVE}
    return Image(f"docker.io/{name}", entrypoint, files, links, ports=(8080,), user=user)


@pytest.fixture
async def rig(kubernetes_cluster: Cluster) -> AsyncIterator[KubernetesRig]:
    links = {f"/bin/{name}": "busybox" for name in TOOLS}
    kubernetes_cluster.node.load(image(IMAGE, links, ("/bin/sh", "/script")))
    async with opened(KubernetesRig(kubernetes_cluster, IMAGE)) as rig:
        yield rig


class TestRealExecs(ExecContract):
    """The contract, on a kubelet and containerd."""


async def test_another_user(rig: KubernetesRig, kubernetes_cluster: Cluster) -> None:
    """Promise: what holds for root holds for an image's own user."""
    links = {f"/bin/{name}": "busybox" for name in TOOLS}
    kubernetes_cluster.node.load(image("sealift-test/tools-user:1", links, ("/bin/sh", "/script"), user="1000"))
    seen = await running(rig.runtime, replace(rig.spec(), image_ref="sealift-test/tools-user:1"))
    async with started(rig.runtime, seen, spec("sh", "-c", "echo ready; sleep 7654321", stdin=True)) as process:
        await until(process, b"ready")
    await until_gone(rig.runtime, seen, b"sleep 7654321")


async def test_an_image_without_a_shell(rig: KubernetesRig, kubernetes_cluster: Cluster) -> None:
    """Promise: a command runs all the same, and its client is told what does not hold."""
    kubernetes_cluster.node.load(image(BARE, {}, ("/bin/busybox", "sleep", "3600")))
    seen = await running(rig.runtime, replace(rig.spec(), image_ref=BARE))
    async with started(rig.runtime, seen, spec("busybox", "echo", "word")) as process:
        assert "no shell" in process.notice
        assert await all_of(process) == (b"word\n", b"", ExecEnd(0))
    async with started(rig.runtime, seen, spec("nothing")) as process:
        _, _, end = await all_of(process)
        assert (end.exit_code, end.code) == (127, "exec.command_not_found")


async def test_many_at_once(rig: KubernetesRig) -> None:
    """Promise: commands in one instance do not get into each other's way."""
    seen = await running(rig.runtime, rig.spec())

    async def echo(number: int) -> bytes:
        async with started(rig.runtime, seen, spec("cat", stdin=True)) as process:
            await process.write(b"%d" % number)
            await process.end_stdin()
            return (await all_of(process))[0]

    assert await asyncio.gather(*map(echo, range(8))) == [b"%d" % number for number in range(8)]
