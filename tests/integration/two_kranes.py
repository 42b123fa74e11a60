"""Two krane processes of a region, each with its Envoy, on a real control plane and a real api."""

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
from msgspec.structs import replace
from sqlalchemy import Connection, update

from pkg.clock import now_ms
from pkg.desired.capabilities import ROUTE
from pkg.feed.queries import record
from pkg.regions import queries as regions
from pkg.registry.config import RegistryAddress
from pkg.routes.tables import routes as routes_table
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.kubernetes.fixtures import kubernetes_plane  # noqa: F401
from pkg.testing.ports import free_port
from pkg.testing.wait import KUBERNETES_WAIT_S
from sealift.ctrl.v1 import deployment_pb2, project_pb2
from svc.api.deployment_testing import make_ready
from svc.api.testing import REGION, RunningApi, config_in, recording_restate, running_api

ROOT = Path(__file__).parents[2]
IMAGE = "sealift-test/app:1"
HOSTNAME = "hello.sealift.localhost"
ROLE = re.compile(r'sealift_krane_replica\{state="(\w+)"\} (\d)')


class Link:
    """A krane's way to the api, which can be cut. Use as a context manager."""

    def __init__(self, api: str) -> None:
        self.address = ""
        self._host, _, self._port = api.rpartition(":")
        self._is_cut = False
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Link":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Ends what is connected, and lets nothing through until `join`."""
        self._is_cut = True
        for task in self._tasks:
            task.cancel()

    def join(self) -> None:
        """Lets connections through again."""
        self._is_cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not self._is_cut:
                api_reader, api_writer = await asyncio.open_connection(self._host, int(self._port))
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(_pass_on(reader, api_writer))
                        group.create_task(_pass_on(api_reader, writer))
                finally:
                    api_writer.transport.abort()
        except (asyncio.CancelledError, OSError, BaseExceptionGroup):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()


@dataclass
class Pod:
    """A krane and the Envoy beside it, as the containers of one Pod."""

    folder: Path
    link: Link
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

    def end(self, drain_s: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        """As the kubelet ends a Pod: krane is signalled while a hook drains Envoy, which ends after that.

        `meanwhile` is called when Envoy has drained, while it still serves.
        """
        assert self.krane is not None
        assert self.envoy is not None
        self.krane.terminate()
        hook = self._run("build.krane.envoy", "--drain-s", str(drain_s))
        assert hook.wait(60) == 0
        meanwhile()
        self.envoy.terminate()
        assert self.envoy.wait(10) == 0
        assert self.krane.wait(30) == 0

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

    async def leads(self) -> bool:
        """Whether it leads the region, as it says of itself."""
        return (await self.roles()).get("leading", False)

    async def is_ready(self) -> bool:
        """What the kubelet would see."""
        status, _ = await _get(f"http://127.0.0.1:{self.metrics_port}/health/ready")
        return status == 200

    async def answer(self) -> str:
        """The name of the instance that answers through its Envoy; "" for none."""
        status, text = await _get(f"http://127.0.0.1:{self.port}/", HOSTNAME)
        return text.strip() if status == 200 else ""

    def _run(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{module}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, "--config", str(self.folder / "krane.toml"), *arguments],
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
    add: Callable[[str], Awaitable[Pod]]
    live: str = ""
    next: str = ""

    async def leader(self) -> tuple[Pod, Pod]:
        """The leading one and the other one."""
        found: list[Pod] = []

        async def one_leads() -> bool:
            found[:] = [pod for pod in (self.first, self.second) if await pod.leads()]
            return len(found) == 1

        await eventually(one_leads, "one leads", KUBERNETES_WAIT_S)
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


def write_config(pod: Pod, api: RunningApi, kubeconfig: Path) -> None:
    """krane's configuration."""
    (pod.folder / "krane.key").touch(mode=0o600)
    (pod.folder / "krane.key").write_text(api.krane_key)
    (pod.folder / "krane.toml").write_text(f"""
region = "{REGION}"
state_dir = "{pod.folder}/state"
[api]
address = "{pod.link.address}"
key_file = "{pod.folder}/krane.key"
[runtime]
backend = "kubernetes"
[kubernetes]
kubeconfig = "{kubeconfig}"
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


@contextlib.asynccontextmanager
async def two_kranes(folder: Path, plane: ControlPlane) -> AsyncIterator[Region]:
    """The region, ready. `folder` must be short (sockets live there). Ends what it started."""
    async with contextlib.AsyncExitStack() as stack:
        restate = await stack.enter_async_context(recording_restate())
        config = replace(config_in(folder, restate.url), registry=RegistryAddress(url="r.example.com/apps"))
        api = await stack.enter_async_context(running_api(config))

        async def add(name: str) -> Pod:
            link = await stack.enter_async_context(Link(api.grpc))
            pod = Pod(folder / name, link)
            pod.folder.mkdir()
            write_config(pod, api, plane.kubeconfig)
            stack.callback(pod.kill)
            pod.start()
            return pod

        pods = [await add(name) for name in ("a", "b")]
        region = Region(api, plane, pods[0], pods[1], add)
        stack.callback(
            plane.kubectl, "delete", "namespace", "-l", "app.kubernetes.io/managed-by=sealift", "--wait=false"
        )
        for pod in pods:
            await eventually(pod.is_ready, f"{pod.folder.name} is ready", KUBERNETES_WAIT_S)
        region.live, region.next = [await deploy(region, branch) for branch in ("a", "b")]
        await api.db.write(lambda c: make_ready(c, region.live, hostname=HOSTNAME))
        for pod in pods:
            await eventually(partial(answers, pod, region.live), "the live one answers", KUBERNETES_WAIT_S)
        yield region


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
    await eventually(is_healthy, "it is healthy", KUBERNETES_WAIT_S)
    return str(made.deployment_id)
