"""One krane in this process, on a real engine, with a control plane and an ingress of the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from pkg.ids import new_id
from pkg.images.config import Images, RegistryLogin
from pkg.kubernetes.config import Kubernetes
from pkg.lifecycle import Runner
from pkg.networks import engine_network
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import common_pb2
from svc.krane.config import Api, Docker, Ingress, KraneConfig, Runtime
from svc.krane.ingress.port import Ingress as IngressPort
from svc.krane.run import Timing, start
from svc.krane.runtime.port import instance_name
from svc.krane.testing import engine
from svc.krane.testing.cluster import KEY, FakeCluster
from svc.krane.testing.ingress import RecordingIngress

REGION = "test"
SERVE = """
import http.server, os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(os.environ.get("ANSWER", "200")))
        self.end_headers()
        self.wfile.write(os.environ.get("BODY", "hello").encode())
time.sleep(float(os.environ.get("START_S", "0")))
http.server.ThreadingHTTPServer(("", int(os.environ.get("LISTEN", os.environ["PORT"]))), Handler).serve_forever()
"""


@dataclass
class KraneHarness:
    """What one test has. Nothing of it stays: see `open_harness`."""

    folder: Path
    image_id: str
    cluster: FakeCluster
    installation_id: str
    ingress: RecordingIngress = field(default_factory=RecordingIngress)
    timing: Timing = field(default_factory=lambda: Timing(stop_grace_s=1, drain_s=0.2))
    socket: str = engine.SOCKET
    address_pool: str = ""
    backend: str = "docker"
    registries: tuple[RegistryLogin, ...] = ()
    images: Images = field(default_factory=Images)
    kubernetes: Kubernetes = field(default_factory=Kubernetes)
    _running: tuple[Runner, asyncio.Task[None]] | None = None

    @property
    def network(self) -> str:
        """The feed of krane, of this test alone."""
        return f"sealift-test-{self.installation_id[-8:]}"

    @property
    def engine_network(self) -> str:
        """What it is called on the engine."""
        return engine_network(self.network)

    def config(self) -> KraneConfig:
        """The configuration of this krane."""
        key_file = self.folder / "krane.key"
        if not key_file.exists():
            key_file.touch(mode=0o600)
            key_file.write_text(KEY + "\n")
        return KraneConfig(
            instance_id="inst_test",
            region=REGION,
            state_dir=self.folder / "krane",
            api=Api(address=self.cluster.address, key_file=key_file),
            runtime=Runtime(backend=self.backend),
            docker=Docker(socket=Path(self.socket), network=self.network, address_pool=self.address_pool),
            kubernetes=self.kubernetes,
            registries=self.registries,
            images=self.images,
            ingress=Ingress(ads_socket=self.folder / "ads.sock", admin_socket=self.folder / "admin.sock"),
        )

    async def start_krane(self, ingress: IngressPort | None = None) -> None:
        """Starts it, with `ingress` or else a fresh recording one, like a fresh process has."""
        self.ingress = RecordingIngress()
        runner = Runner()
        task = asyncio.create_task(runner.run(start(self.config(), runner, ingress or self.ingress, self.timing)))
        self._running = (runner, task)

    async def stop_krane(self) -> None:
        """Ends it; instances stay."""
        if self._running is not None:
            runner, task = self._running
            self._running = None
            runner.stop("the test says so")
            await task

    def topology(self, script: str = SERVE, **settings: object) -> pb.Topology:
        """One deployment that runs a Python script; settings by the proto's names, `variables` among them."""
        variables = settings.pop("variables", {})
        check = settings.pop(
            "health_check", {"path": "/", "interval_ms": 200, "timeout_ms": 500, "start_timeout_s": 20}
        )
        return pb.Topology(
            deployment_id=new_id("dep"),
            workspace_id="ws_1",
            project_id="proj_1",
            environment_id="env_1",
            image_ref=f"engine:{self.image_id}",
            settings=common_pb2.RuntimeSettings(
                **{"cpu_millicores": 500, "memory_mib": 64, "replicas": 1, "port": 8080, **settings},  # type: ignore[arg-type]
                command=common_pb2.StringList(values=["python3", "-u", "-c", script]),
                health_check=common_pb2.HealthCheck(**check),  # type: ignore[arg-type]
            ),
            variables=variables,  # type: ignore[arg-type]
        )


def name_of(topology: pb.Topology, replica: int = 0) -> str:
    """The container's name."""
    return instance_name(topology.deployment_id, replica)


def containers(client: docker.APIClient, harness: KraneHarness) -> set[str]:
    """Names of everything with the harness's installation label."""
    found = client.containers(all=True, filters={"label": f"sealift.installation={harness.installation_id}"})
    return {one["Names"][0].lstrip("/") for one in found}


async def eventually(condition: Callable[[], Any], timeout_s: float = WAIT_S) -> None:
    """Waits until the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the engine notifies nobody
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def open_harness(folder: Path) -> AsyncIterator[KraneHarness]:
    """A harness with its control plane listening; krane is started by the test. Removes every container at the end."""
    client = engine.client()
    installation_id = new_id("inst")
    try:
        cluster = FakeCluster(installation_id)
        await cluster.start()
        harness = KraneHarness(folder, engine.python_image(client), cluster, installation_id)
        try:
            yield harness
        finally:
            await harness.stop_krane()
            await cluster.stop()
    finally:
        engine.remove_all(client, installation_id)
        client.close()
