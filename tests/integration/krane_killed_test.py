"""Promise: kill -9 of krane between any two of its writes to a cluster loses, doubles and leaves nothing."""

import contextlib
import logging
import re
import signal
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace
from sqlalchemy import Connection

from pkg.clock import now_ms
from pkg.regions import queries as regions
from pkg.registry.config import RegistryAddress
from pkg.testing.kubernetes.api_front import ApiFront
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.kubernetes.fixtures import kubernetes_plane  # noqa: F401
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S, KUBERNETES_WAIT_S
from sealift.ctrl.v1 import common_pb2, deployment_pb2, project_pb2
from svc.api.testing import REGION, RunningApi, config_in, recording_restate, running_api
from tests.integration.two_kranes import IMAGE, Link, Pod, eventually, write_config

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

log = logging.getLogger(__name__)

REPLICAS = 2
# In the order in which krane comes to them; each method and path is one of its writes.
WRITES = {
    "namespace": r"PATCH /api/v1/namespaces/[^/]+\?",
    "network policy": r"PATCH .*/networkpolicies/",
    "stateful set": r"PATCH .*/statefulsets/",
    "variables": r"POST .*/secrets\?",
    "service": r"POST .*/services\?",
    "budget": r"POST .*/poddisruptionbudgets\?",
    "number": r"PATCH .*/statefulsets/[^?]*\?fieldManager=sealift-krane$",
    "mark of a healthy Pod": r"PATCH .*/pods/[^/]+/status",
    "end of the stateful set": r"DELETE .*/statefulsets/",
    "end of a Pod": r"DELETE .*/pods/",
}
OURS = "statefulsets,pods,services,secrets,poddisruptionbudgets"


@dataclass
class Killer:
    """Stands before the API server, and kills krane when that has sent the write that is waited for.

    The write is done, its answer is never read. To kill before a write is to kill after the one before it.
    """

    pod: Pod
    wanted: str = ""
    killed: int = 0

    def __call__(self, method: str, path: str) -> web.Response | None:
        if not self.wanted or not re.match(self.wanted, f"{method} {path}"):
            return None
        self.wanted = ""
        self.killed += 1
        assert self.pod.krane is not None
        self.pod.krane.send_signal(signal.SIGKILL)
        return None


@dataclass
class Rig:
    """A real api, a real control plane, and a krane process between them."""

    api: RunningApi
    plane: ControlPlane
    pod: Pod
    killer: Killer
    project_id: str = ""

    async def deploy(self) -> str:
        """Records a deployment of several instances and wants it in the region; its id."""
        request = deployment_pb2.CreateDeploymentRequest(
            project_id=self.project_id, environment_slug="production", docker_image=IMAGE, branch="main",
            settings=common_pb2.RuntimeSettings(replicas=REPLICAS),
        )  # fmt: skip
        made = (await self.api.admin.deployment.CreateDeployment(request)).deployment

        def place(connection: Connection) -> None:
            regions.place(
                connection, deployment_id=made.deployment_id, region=REGION, image_ref=IMAGE, stopped=False,
                now=now_ms(),
            )  # fmt: skip

        await self.api.db.write(place)
        return str(made.deployment_id)

    async def states(self, deployment_id: str) -> list[str]:
        """Of the instances that krane has reported."""
        return [one.state for one in await self.api.db.read(regions.instances_of, deployment_id)]

    def objects(self, deployment_id: str) -> list[Any]:
        """What the cluster has of the deployment."""
        found: list[Any] = self.plane.get(OURS, "-A", "-l", f"sealift.dev/deployment={deployment_id}")["items"]
        return found

    def kill(self) -> None:
        """As kill -9."""
        assert self.pod.krane is not None
        self.pod.krane.kill()

    async def restart_when_killed(self) -> None:
        """As the kubelet does."""

        async def has_ended() -> bool:
            assert self.pod.krane is not None
            return self.pod.krane.poll() is not None

        await eventually(has_ended, "krane is killed", KUBERNETES_WAIT_S)
        self.pod.start()


@pytest.fixture
async def rig(kubernetes_plane: ControlPlane) -> AsyncIterator[Rig]:  # noqa: F811
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True)))
        restate = await stack.enter_async_context(recording_restate())
        config = replace(config_in(folder, restate.url), registry=RegistryAddress(url="r.example.com/apps"))
        api = await stack.enter_async_context(running_api(config))
        front = stack.enter_context(ApiFront(kubernetes_plane))
        pod = Pod(folder / "a", await stack.enter_async_context(Link(api.grpc)))
        pod.folder.mkdir()
        write_config(pod, api, front.kubeconfig)
        stack.callback(pod.kill)
        front.fault = killer = Killer(pod)
        pod.start()
        await eventually(pod.is_ready, "krane is ready", KUBERNETES_WAIT_S)
        project = (await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="app"))).project
        yield Rig(api, kubernetes_plane, pod, killer, project.project_id)
        ours = "app.kubernetes.io/managed-by=sealift"
        kubernetes_plane.kubectl("delete", "namespace", "-l", ours, "--wait=false")


async def test_killed_at_each_write(rig: Rig) -> None:
    """The next process finishes what this one had begun: so many Pods as wanted, each once; in the end nothing."""
    for number, (what, pattern) in enumerate(WRITES.items(), 1):
        is_end = what.startswith("end")
        if what == "network policy":  # a process sees to it once
            rig.kill()
            await rig.restart_when_killed()
        rig.killer.wanted = "" if is_end else pattern
        deployment_id = await rig.deploy()
        if not is_end:
            await rig.restart_when_killed()

        async def runs(deployment_id: str = deployment_id) -> bool:
            return await rig.states(deployment_id) == ["healthy"] * REPLICAS

        await eventually(runs, f"it runs, after krane was killed at: {what}", KUBERNETES_WAIT_S)
        pods = [one["metadata"]["name"] for one in rig.objects(deployment_id) if one["kind"] == "Pod"]
        assert sorted(pods) == [f"{deployment_id.replace('_', '-')}-{replica}" for replica in range(REPLICAS)]
        rig.killer.wanted = pattern if is_end else ""
        await rig.api.db.write(regions.stop, deployment_id, now_ms())
        if is_end:
            await rig.restart_when_killed()

        async def has_gone(deployment_id: str = deployment_id) -> bool:
            return rig.objects(deployment_id) == [] and set(await rig.states(deployment_id)) <= {"stopped"}

        await eventually(has_gone, f"nothing is left, after krane was killed at: {what}", KUBERNETES_WAIT_S)
        assert rig.killer.killed == number, what
