"""A region on a Docker engine for tests: its runtime, and specs that run there."""

from dataclasses import dataclass, field

import docker

from pkg.ids import new_id
from svc.krane.runtime.docker.container_spec import Identity
from svc.krane.runtime.docker.runtime import DockerRuntime
from svc.krane.runtime.port import DeploymentSpec
from svc.krane.testing import engine

APP = """
import http.server, os, sys
if "EXIT" in os.environ:
    print("as told", flush=True)
    sys.exit(int(os.environ["EXIT"]))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/exit/"):
            os._exit(int(self.path.rpartition("/")[2]))
        if self.path.startswith("/print/"):
            print(self.path.removeprefix("/print/"), flush=True)
        self.send_response(200)
        self.end_headers()
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


@dataclass
class DockerRig:
    """See `RuntimeRig`."""

    client: docker.APIClient
    image_id: str
    installation_id: str
    made: list[DockerRuntime] = field(default_factory=list)

    @property
    def runtime(self) -> DockerRuntime:
        """The first one."""
        return self.made[0]

    def make(self, installation_id: str = "") -> DockerRuntime:
        """See `RuntimeRig`."""
        identity = Identity(installation_id or self.installation_id, "local")
        network = f"sealift-test-{identity.installation_id[-8:]}"
        self.made.append(DockerRuntime(engine.SOCKET, identity, network))
        return self.made[-1]

    def spec(self) -> DeploymentSpec:
        """See `RuntimeRig`."""
        return DeploymentSpec(
            new_id("dep"),
            "ws_1",
            "proj_1",
            "env_1",
            1,
            f"engine:{self.image_id}",
            cpu_millicores=500,
            memory_mib=64,
            port=8080,
            command=("python3", "-u", "-c", APP),
        )

    async def stop_by_hand(self, name: str) -> None:
        """See `RuntimeRig`."""
        self.client.stop(name, timeout=0)

    async def remove_by_hand(self, name: str) -> None:
        """See `RuntimeRig`."""
        self.client.remove_container(name, force=True)
