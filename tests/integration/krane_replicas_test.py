"""Two krane processes of a region, each with its Envoy, on a real control plane and a real api; one of them dies."""

import asyncio
import contextlib
import logging
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, update

from pkg.clock import now_ms
from pkg.desired.capabilities import ROUTE
from pkg.feed.queries import record
from pkg.regions import krane_replicas
from pkg.regions import queries as regions
from pkg.regions.votes import VOTE_EXPIRES_MS
from pkg.registry.config import RegistryAddress
from pkg.routes import queries as routes
from pkg.routes.tables import routes as routes_table
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.kubernetes.fixtures import kubernetes_plane  # noqa: F401
from pkg.testing.ports import free_port
from sealift.ctrl.v1 import deployment_pb2, project_pb2
from svc.api.deployment_testing import make_ready
from svc.api.testing import REGION, RunningApi, config_in, recording_restate, running_api
from tests.harness.load import Load

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
IMAGE = "sealift-test/app:1"
HOSTNAME = "hello.sealift.localhost"
TAKEOVER_WITHIN_S = 20.0  # the Lease runs out after 15 s, and is tried every 2 s
STARTS_WITHIN_S = 30.0
ROLE = re.compile(r'sealift_krane_replica\{state="(\w+)"\} (\d)')


@dataclass
class Pod:
    """A krane and the Envoy beside it, as the containers of one Pod."""

    folder: Path
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    krane: subprocess.Popen[bytes] | None = None
    envoy: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Under which Envoy is asked for the app."""
        return f"http://{HOSTNAME}:{self.port}"

    def start(self) -> None:
        """Starts both, or krane again."""
        if self.envoy is None:
            self.envoy = self._run("build.krane.envoy")
        self.krane = self._run("build.krane.main")

    def kill(self) -> None:
        """As when the machine is lost. Idempotent."""
        for process in (self.krane, self.envoy):
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()

    async def roles(self) -> dict[str, bool]:
        """What krane says of itself; nothing while it does not answer."""
        _, text = await _get(f"http://127.0.0.1:{self.metrics_port}/metrics")
        return {name: value == "1" for name, value in ROLE.findall(text)}

    async def is_ready(self) -> bool:
        """What the kubelet would see."""
        status, _ = await _get(f"http://127.0.0.1:{self.metrics_port}/health/ready")
        return status == 200

    async def answer(self) -> str:
        """The name of the instance that answers through its Envoy; "" for none."""
        status, text = await _get(f"http://127.0.0.1:{self.port}/", HOSTNAME)
        return text.strip() if status == 200 else ""

    def _run(self, module: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{module}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, "--config", str(self.folder / "krane.toml")],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


async def _get(url: str, host: str = "") -> tuple[int, str]:
    """Status and body; 0 when nobody answers."""
    timeout = aiohttp.ClientTimeout(total=3)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, headers={"Host": host} if host else {}) as response,
        ):
            return response.status, await response.text()
    except (aiohttp.ClientError, TimeoutError):
        return 0, ""


@dataclass
class Region:
    """The region, its two Pods, and two deployments that are healthy in it; the first one is live."""

    api: RunningApi
    plane: ControlPlane
    first: Pod
    second: Pod
    live: str = ""
    next: str = ""

    async def leader(self) -> tuple[Pod, Pod]:
        """The leading one and the other one."""
        found: list[Pod] = []

        async def one_leads() -> bool:
            found[:] = [pod for pod in (self.first, self.second) if (await pod.roles()).get("leading")]
            return len(found) == 1

        await eventually(one_leads, "one leads", STARTS_WITHIN_S)
        return found[0], self.second if found[0] is self.first else self.first

    async def switch(self) -> int:
        """Points the hostname at the next deployment; the version."""

        def write(connection: Connection) -> int:
            version = record(connection, ROUTE, HOSTNAME, now_ms())
            connection.execute(
                update(routes_table)
                .where(routes_table.c.hostname == HOSTNAME)
                .values(deployment_id=self.next, version=version)
            )
            return version

        return await self.api.db.write(write)

    async def pods_of(self, deployment_id: str) -> list[str]:
        """The names of its Pods on the cluster that are not ending."""
        listed = await asyncio.to_thread(self.plane.get, "pods", "-A", "-l", f"sealift.dev/deployment={deployment_id}")
        return [one["metadata"]["name"] for one in listed["items"] if "deletionTimestamp" not in one["metadata"]]

    async def is_applied(self, version: int) -> bool:
        """Whether the region has applied it."""
        return not await self.api.db.read(regions.behind, [REGION], version)


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, within_s: float) -> float:
    """Waits until the condition holds; how many seconds that took."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() - began < within_s, f"not within {within_s:.0f} s: {what}"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


def write_config(pod: Pod, api: RunningApi, plane: ControlPlane) -> None:
    """krane's configuration."""
    (pod.folder / "krane.key").touch(mode=0o600)
    (pod.folder / "krane.key").write_text(api.krane_key)
    (pod.folder / "krane.toml").write_text(f"""
region = "{REGION}"
state_dir = "{pod.folder}/state"
[api]
address = "{api.grpc}"
key_file = "{pod.folder}/krane.key"
[runtime]
backend = "kubernetes"
[kubernetes]
kubeconfig = "{plane.kubeconfig}"
ingress_ranges = ["10.1.2.3/32"]
[images]
allow_local = ["sealift-test/*"]
[ingress]
listen = "127.0.0.1:{pod.port}"
ads_socket = "{pod.folder}/ads.sock"
admin_socket = "{pod.folder}/admin.sock"
[metrics]
listen = "127.0.0.1:{pod.metrics_port}"
""")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for socket names."""
    with tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
async def region(
    short_folder: Path,
    kubernetes_plane: ControlPlane,  # noqa: F811
) -> AsyncIterator[Region]:
    async with recording_restate() as restate:
        config = replace(config_in(short_folder, restate.url), registry=RegistryAddress(url="r.example.com/apps"))
        async with running_api(config) as api:
            pods = [Pod(short_folder / name) for name in ("a", "b")]
            for pod in pods:
                pod.folder.mkdir()
                write_config(pod, api, kubernetes_plane)
                pod.start()
            region = Region(api, kubernetes_plane, pods[0], pods[1])
            try:
                for pod in pods:
                    await eventually(pod.is_ready, f"{pod.folder.name} is ready", STARTS_WITHIN_S)
                region.live, region.next = [await deploy(region, branch) for branch in ("a", "b")]
                await api.db.write(lambda c: make_ready(c, region.live, hostname=HOSTNAME))
                for pod in pods:
                    await eventually(partial(answers, pod, region.live), "the live one answers", STARTS_WITHIN_S)
                yield region
            finally:
                for pod in pods:
                    pod.kill()
                kubernetes_plane.kubectl(
                    "delete", "namespace", "-l", "app.kubernetes.io/managed-by=sealift", "--wait=false"
                )


async def answers(pod: Pod, deployment_id: str) -> bool:
    """Whether an instance of the deployment answers through the Pod's Envoy."""
    return (await pod.answer()).startswith(deployment_id.replace("_", "-"))


async def deploy(region: Region, branch: str) -> str:
    """Records a deployment, has the region run it, and waits until it is healthy; its id."""
    api = region.api
    answer = await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug=f"app-{branch}"))
    request = deployment_pb2.CreateDeploymentRequest(
        project_id=answer.project.project_id, environment_slug="production", docker_image=IMAGE, branch=branch
    )
    made = (await api.admin.deployment.CreateDeployment(request)).deployment

    def place(connection: Connection) -> None:
        regions.place(
            connection, deployment_id=made.deployment_id, region=REGION, image_ref=IMAGE, stopped=False, now=now_ms()
        )

    async def is_healthy() -> bool:
        seen = await api.db.read(regions.instances_of, made.deployment_id)
        return [one.state for one in seen] == ["healthy"]

    await api.db.write(place)
    await eventually(is_healthy, "it is healthy", STARTS_WITHIN_S)
    return str(made.deployment_id)


async def test_killing_the_leader_loses_no_request_through_the_other(region: Region) -> None:
    """A switch under way is finished by the other one; old instances stay until the dead one's vote has expired."""
    leader, other = await region.leader()
    with Load(other.url, rate_per_s=100, max_s=90) as load:
        leader.kill()
        killed = time.monotonic()
        version = await region.switch()
        await region.api.db.write(regions.stop, region.live, now_ms())
        served = await eventually(lambda: answers(other, region.next), "the other Envoy has switched", 10)

        async def leads() -> bool:
            return (await other.roles()).get("leading", False)

        await eventually(leads, "the other one leads", TAKEOVER_WITHIN_S)
        takeover = time.monotonic() - killed

        async def is_applied() -> bool:
            applied = await region.is_applied(version)
            if not applied:
                assert await region.pods_of(region.live), "an instance that the dead Envoy may use has gone"
            return applied

        await eventually(is_applied, "the vote expires", VOTE_EXPIRES_MS / 1000 + 15)
        applied_after = time.monotonic() - killed

        async def has_gone() -> bool:
            return not await region.pods_of(region.live)

        await eventually(has_gone, "the old instance goes", 15)
    assert load.failures == []
    assert load.total > 1000
    assert applied_after > VOTE_EXPIRES_MS / 1000 - 5, "its last heartbeat was moments before"
    found = await region.api.db.read(regions.instances_of, region.next)
    assert [one.state for one in found] == ["healthy"]
    log.info(
        "takeover %.1f s, switched %.1f s, applied %.1f s, %d requests", takeover, served, applied_after, load.total
    )
    assert takeover <= TAKEOVER_WITHIN_S


async def test_a_replica_that_comes_back_serves_once_it_has_caught_up(region: Region) -> None:
    """krane dies alone, Envoy stays: its vote stays too, and the next krane of the same state directory has it."""
    leader, other = await region.leader()
    before = {one.replica_id for one in await region.api.db.read(krane_replicas.of_region, REGION)}
    assert leader.krane is not None
    leader.krane.kill()
    leader.krane.wait()
    version = await region.switch()
    await eventually(lambda: answers(other, region.next), "the other Envoy has switched", 10)
    assert not await region.is_applied(version), "the Envoy of the dead krane still has the old route"
    assert await answers(leader, region.live)
    leader.start()
    await eventually(lambda: answers(leader, region.next), "it has caught up", STARTS_WITHIN_S)
    await eventually(leader.is_ready, "it is ready", STARTS_WITHIN_S)
    await eventually(lambda: region.is_applied(version), "every Envoy has it", 10)
    after = await region.api.db.read(krane_replicas.of_region, REGION)
    assert {one.replica_id for one in after if one.is_counted} == before
    route = await region.api.db.read(routes.get, HOSTNAME)
    assert route is not None
    assert route.deployment_id == region.next


async def test_a_slow_envoy_holds_the_instances_that_it_still_uses(region: Region) -> None:
    """One Envoy hangs before it has taken the new route: the old instance stays until it has, and then goes."""
    leader, other = await region.leader()
    assert other.envoy is not None
    other.envoy.send_signal(signal.SIGSTOP)
    version = await region.switch()
    await region.api.db.write(regions.stop, region.live, now_ms())
    await eventually(lambda: answers(leader, region.next), "the leader's Envoy has switched", 10)
    for _ in range(30):
        assert await region.pods_of(region.live)
        assert not await region.is_applied(version)
        await asyncio.sleep(0.1)
    other.envoy.send_signal(signal.SIGCONT)
    await eventually(lambda: region.is_applied(version), "every Envoy has it", 15)

    async def has_gone() -> bool:
        return not await region.pods_of(region.live)

    await eventually(has_gone, "the old instance goes", 15)
    assert await answers(other, region.next)
