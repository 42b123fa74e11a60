"""The port's contract on real Pods, and why real Pods don't start."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from pkg.errors import FailedPrecondition, SealiftError, Unavailable
from pkg.testing.kubernetes.images import Image, busybox_image
from pkg.testing.kubernetes.real_node import Cluster
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S
from svc.krane.controller.log_lines import LineAssembler
from svc.krane.runtime.contract import RuntimeContract, eventually, job_spec, running, until_job, until_status
from svc.krane.runtime.kubernetes.objects import PodRules
from svc.krane.runtime.port import DeploymentSpec, InstanceStatus, PendingError
from svc.krane.testing.kubernetes import KubernetesRig, opened

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

# The app of `RuntimeRig`. It waits in the background, so that a signal is handled at once.
APP = r"""
[ -n "$EXIT" ] && { echo as told; exit "$EXIT"; }
trap 'exit 143' TERM
trap 'exit "$(busybox cat /code)"' USR1
echo 'read method path rest
case $path in
/print/*) echo "${path#/print/}" >/proc/1/fd/1 ;;
esac
case $path in
/exit/*) echo "${path#/exit/}" >/code; kill -USR1 1 ;;
*) printf "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" ;;
esac' >/answer
busybox nc -ll -p "$PORT" -e /bin/sh /answer & wait $!
"""
IMAGE = "sealift-test/real-app:1"


@pytest.fixture
async def rig(kubernetes_cluster: Cluster) -> AsyncIterator[KubernetesRig]:
    kubernetes_cluster.node.load(busybox_image(f"docker.io/{IMAGE}", APP))
    async with opened(KubernetesRig(kubernetes_cluster, IMAGE)) as rig:
        yield rig


class TestRealPods(RuntimeContract):
    """The contract, on a kubelet and containerd."""


async def refused(rig: KubernetesRig, spec: DeploymentSpec, code: str) -> SealiftError:
    """What `apply` raises once that has this code."""

    async def raised() -> SealiftError | None:
        try:
            await rig.runtime.apply(spec, 0, await rig.runtime.observe(spec.deployment_id, 0), is_live=False)
        except PendingError:
            return None
        except SealiftError as error:
            return error if error.code == code else None
        return None

    return await eventually(raised)


async def test_a_long_line_of_a_real_node(rig: KubernetesRig) -> None:
    """Promise: a line that the node keeps in pieces is one line, whole, and the next one is apart from it."""
    assert isinstance(rig.plane, Cluster)
    script = "busybox head -c 200000 /dev/zero | busybox tr '\\0' x; echo; echo next; exit 0"
    rig.plane.node.load(busybox_image("docker.io/sealift-test/long:1", script))
    spec = replace(rig.spec(), image_ref="sealift-test/long:1")
    await rig.runtime.apply(spec, 0, None, is_live=False)
    ended = await until_status(rig.runtime, spec, InstanceStatus.EXITED)
    assembler = LineAssembler()
    async with asyncio.timeout(60), aclosing(rig.runtime.logs(ended.name, ended.uid, 0)) as chunks:
        lines = [line async for records in chunks for line in assembler.feed(records)]
    assert [line.data[:9] for line in lines] == [b"xxxxxxxxx", b"next"]
    assert lines[0].data == b"x" * 200_000


async def test_a_command_that_is_not_there(rig: KubernetesRig) -> None:
    """Promise: the code and the words of a command that is not in the image are those of a Docker engine."""
    assert isinstance(rig.plane, Cluster)
    rig.plane.node.load(Image("docker.io/sealift-test/no-command:1", ["/nowhere"], {"/a": b""}, {}))
    error = await refused(rig, replace(rig.spec(), image_ref="sealift-test/no-command:1"), "instance.command_not_found")
    assert isinstance(error, FailedPrecondition)
    assert error.message.startswith("the container cannot start: ")


async def test_an_image_that_no_registry_has(rig: KubernetesRig) -> None:
    """Promise: a pull that failed has a code of its own and the words of who was asked."""
    error = await refused(
        rig, replace(rig.spec(), image_ref="127.0.0.1:9/apps/none:1"), "instance.registry_unreachable"
    )
    assert isinstance(error, Unavailable)
    assert "(cluster: " in error.message


async def test_out_of_memory(rig: KubernetesRig) -> None:
    """Promise: an app that the kernel ended for its memory is told apart from one that ended."""
    script = 'a=x; while :; do a="$a$a"; done'
    assert isinstance(rig.plane, Cluster)
    rig.plane.node.load(busybox_image("docker.io/sealift-test/eats:1", script))
    spec = replace(rig.spec(), image_ref="sealift-test/eats:1", memory_mib=32)
    await rig.runtime.apply(spec, 0, None, is_live=False)
    ended = await until_status(rig.runtime, spec, InstanceStatus.EXITED)
    assert (ended.out_of_memory, ended.exit_code) == (True, 137)


async def test_an_image_that_runs_as_root_where_that_is_not_allowed(rig: KubernetesRig) -> None:
    """Promise: "restricted" refuses root with a code and the remedy, and runs what has a user."""
    assert isinstance(rig.plane, Cluster)
    rig.rules = PodRules("restricted")
    runtime = rig.make()
    rig.made.insert(0, runtime)
    await runtime.open()
    error = await refused(rig, rig.spec(), "instance.runs_as_root")
    assert isinstance(error, FailedPrecondition)
    script = "exec busybox httpd -f -p 8080 -h /www"
    rig.plane.node.load(busybox_image("docker.io/sealift-test/own-user:1", script, user="1000"))
    seen = await running(runtime, replace(rig.spec(), image_ref="sealift-test/own-user:1"))
    assert seen.status is InstanceStatus.RUNNING


async def test_variables_that_somebody_deleted(rig: KubernetesRig) -> None:
    """Promise: an instance whose Secret with variables was deleted starts again: the Secret is made again."""
    spec = rig.spec()
    first = await running(rig.runtime, spec)
    await rig.runtime.apply(spec, 0, first, is_live=True, keep_running=True)
    rig.plane.kubectl("delete", "secret", "-n", rig.namespace, "-l", f"sealift.dev/deployment={spec.deployment_id}")
    rig.plane.kubectl("delete", "pod", first.name, "-n", rig.namespace, "--grace-period=1")

    async def runs_again() -> bool | None:
        with contextlib.suppress(PendingError, Unavailable):
            seen = await rig.runtime.apply(spec, 0, None, is_live=True)
            return (seen.status is InstanceStatus.RUNNING and seen.uid != first.uid) or None
        return None

    await eventually(runs_again)


async def test_nothing_answers_once_it_was_deleted(rig: KubernetesRig) -> None:
    """Promise: the end of a deployment removes everything of it: no Pod, StatefulSet, Service or Secret is left."""
    spec = replace(rig.spec(), replicas=2)
    for replica in (0, 1):
        await running(rig.runtime, spec, replica)
    for ref in sorted(await rig.runtime.list_instances(spec.deployment_id), key=lambda one: -one.replica):
        await rig.runtime.delete(spec.deployment_id, ref.name, grace_s=2)
    assert await rig.runtime.list_instances(spec.deployment_id) == []

    async def left() -> bool | None:
        kinds = "pods,statefulsets,services,secrets,poddisruptionbudgets"
        label = f"sealift.dev/deployment={spec.deployment_id}"
        return rig.plane.get(kinds, "-n", rig.namespace, "-l", label)["items"] == [] or None

    await eventually(left)


async def test_a_stop_reaches_the_app_of_a_job(rig: KubernetesRig) -> None:
    """Promise: its node really ends the app, although nobody has deleted the Pod."""
    spec = job_spec(rig)
    await rig.runtime.start_job(spec)
    seen = await until_job(rig.runtime, spec, InstanceStatus.RUNNING)
    address = rig.plane.get("pod", seen.seen.name, "-n", rig.namespace)["status"]["podIP"]

    async def answers() -> bool:
        try:
            _, writer = await asyncio.open_connection(address, 8080)
        except OSError:
            return False
        writer.close()
        return True

    async def is_up() -> bool | None:
        return True if await answers() else None

    async def is_down() -> bool | None:
        return None if await answers() else True

    await eventually(is_up)
    await rig.runtime.stop_job(spec, grace_s=1)
    await eventually(is_down)
    ended = await until_job(rig.runtime, spec, InstanceStatus.EXITED)
    assert ended.has_expired
    await rig.runtime.remove_job(spec.job_id)
    assert await rig.runtime.list_jobs() == []
