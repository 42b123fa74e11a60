"""The whole stack from the built images, with plain commands of the engine, deploys examples/hello."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pkg.networks import engine_network
from svc.standalone.config import StandaloneConfig
from svc.standalone.ports import Port, choose
from svc.standalone.render import Addresses, Stack, network_name, write_configs
from svc.standalone.restate import find_binary
from svc.standalone.secrets import ensure_secrets
from svc.standalone.statedir import StateDir
from tests.harness.http import get, get_by_socket
from tests.harness.wait import eventually
from tests.packaging.repository import ROOT

SOCKET = Path(os.environ.get("SEALIFT_ENGINE_SOCKET", "/var/run/docker.sock"))
USER = 65532
NAMES = ("api", "http", "worker", "worker_metrics", "krane_metrics", "ingress", "ingress_tls")
PORTS = [Port(name, "127.0.0.1", 0) for name in NAMES]
HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp"]


class Images:
    """Five containers on one state directory: Restate, api, worker, krane, Envoy; configured as the supervisor does."""

    def __init__(self) -> None:
        self.name = f"sealift-images-{uuid.uuid4().hex[:6]}"
        self.state = StateDir(Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp")))
        self.addresses = Addresses(*(f"{port.host}:{port.number}" for port in choose(PORTS)))
        config = StandaloneConfig(region=self.name.removeprefix("sealift-"))
        self.state.prepare()
        ensure_secrets(self.state.secrets)
        write_configs(Stack(config, self.state, self.addresses, SOCKET))
        for path in [self.state.root, *self.state.root.rglob("*")]:
            os.chown(path, USER, USER)

    def start(self, part: str, image: str, *arguments: str, options: tuple[str, ...] = ()) -> None:
        """One container of the stack, on the host's network: everything listens on loopback or on unix sockets."""
        docker("run", "-d", "--name", f"{self.name}-{part}", "--label", "sealift.test=bazel4", "--network", "host",
               *HARDENED, "-v", f"{self.state.root}:{self.state.root}", "-v", f"{SOCKET}:{SOCKET}",
               "--group-add", str(SOCKET.stat().st_gid), *options, image, *arguments)  # fmt: skip

    def up(self) -> None:
        """Starts all five and waits until they work."""
        restate = find_binary("", ROOT)
        program = ("-v", f"{restate}:/restate-server:ro", "--entrypoint", "/restate-server")
        self.start("restate", "sealift/api:dev", "--config-file", str(self.state.config("restate")), options=program)
        admin = self.state.restate_sockets / "admin.sock"
        eventually(
            lambda: admin.exists() and get_by_socket(admin, "/health").status == 200, within_s=30, what="Restate"
        )
        for service in ("api", "worker", "krane"):
            self.start(service, f"sealift/{service}:dev", "--config", str(self.state.config(service)))
        python = ("--entrypoint", "/opt/python/bin/python3")
        self.start("envoy", "sealift/krane:dev", "-s", "-P", "-m", "build.krane.envoy", "--config",
                   str(self.state.config("krane")), options=python)  # fmt: skip
        at = self.addresses
        for url in (f"{at.http}/health/ready", f"{at.worker}/health", f"{at.krane_metrics}/health/ready"):
            eventually(partial(self.is_ready, url), within_s=60, what=f"{url} answers")

    def is_ready(self, url: str) -> bool:
        """Whether a service says that it can work; fails with the logs once a container has ended."""
        ended = docker("ps", "-aq", "--filter", f"name=^{self.name}-", "--filter", "status=exited").stdout
        assert not ended, self.logs()
        return get(f"http://{url}").status == 200

    def sealift(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command line, as installed from the tree."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("SEALIFT_")}
        env |= {
            "SEALIFT_URL": f"http://{self.addresses.api}",
            "SEALIFT_API_KEY_FILE": str(self.state.secrets / "admin.key"),
            "PYTHONPATH": str(ROOT),
        }
        command = ["timeout", "-s", "INT", "120", sys.executable, "-m", "sealift.cli.main", *words]
        return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)

    def logs(self) -> str:
        """The last log lines of each container."""
        parts = ("restate", "api", "worker", "krane", "envoy")
        logs = {part: docker("logs", "--tail", "25", f"{self.name}-{part}", check=False).stderr for part in parts}
        return "\n".join(f"--- {part}\n{text}" for part, text in logs.items())

    def down(self) -> None:
        """Removes the containers of the stack and of its apps, the network and the state."""
        installation = f"label=sealift.region={self.name.removeprefix('sealift-')}"
        ours = docker("ps", "-aq", "--filter", f"name=^{self.name}-").stdout.split()
        apps = docker("ps", "-aq", "--filter", installation).stdout.split()
        if ours + apps:
            docker("rm", "-f", "-v", *ours, *apps)
        docker("network", "rm", engine_network(network_name(self.state)), check=False)
        shutil.rmtree(self.state.root, ignore_errors=True)


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=check)


@pytest.fixture
def images() -> Iterator[Images]:
    stack = Images()
    try:
        yield stack
    finally:
        stack.down()


@pytest.mark.timeout(600)
def test_the_images_deploy_an_app(images: Images) -> None:
    """Promise: the images are the product: what `make up` does from a checkout, they do as containers."""
    images.up()
    base = subprocess.run(["dev/base_image.sh"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert images.sealift("projects", "create", "hello").returncode == 0
    done = images.sealift("deploy", "examples/hello", "--build-arg", f"BASE_IMAGE={base.stdout.strip()}", "--json")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:] + images.logs()
    last: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    answer = get(last["url"])
    assert (answer.status, "hello" in answer.body.lower()) == (200, True)
    info = images.sealift("version", "--json")
    assert "v0.0.1" in info.stdout, info.stdout + info.stderr
