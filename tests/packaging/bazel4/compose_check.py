"""The stack of dev/compose.yaml, by the real compose, deploys examples/hello. Collected by `make bazel4` only."""

import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.http import get
from tests.harness.wait import eventually
from tests.packaging.repository import ROOT

WORK = Path(os.environ.get("SEALIFT_BAZEL4", "/nonexistent"))
SOCKET = os.environ.get("SEALIFT_ENGINE_SOCKET", "/var/run/docker.sock")
NAME = f"sealift-compose-{uuid.uuid4().hex[:6]}"
PORTS = ("api", "http", "worker", "worker_metrics", "krane_metrics", "ingress", "ingress_tls")


class Composed:
    """A checkout of its own, as `make compose` writes into it, with a state directory and free ports."""

    def __init__(self) -> None:
        self.tree = WORK / "tree"
        if not (self.tree / ".venv").exists():
            (self.tree / ".venv").symlink_to(ROOT / ".venv")
        self.scratch = Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp"))
        self.state = self.scratch / "state"
        config = [f'region = "{NAME.removeprefix("sealift-")}"', "[ports]", *(f"{name} = 0" for name in PORTS)]
        (self.scratch / "standalone.toml").write_text("\n".join(config))
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("SEALIFT_")} | {
            "SEALIFT_ENGINE_SOCKET": SOCKET,
            "SEALIFT_STATE_DIR": str(self.state),
            "SEALIFT_API_KEY_FILE": str(self.state / "secrets/admin.key"),
            "SEALIFT_CONFIG": str(self.scratch / "standalone.toml"),
            "COMPOSE_PROJECT_NAME": NAME,
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.tree, env=self.env, capture_output=True, text=True, timeout=200, check=False
        )
        assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def endpoints(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads((self.state / "run/stack.json").read_bytes())
        return answer

    def is_ready(self) -> bool:
        at = self.endpoints()
        ended = self.run("docker", "ps", "-aq", "--filter", f"name=^{NAME}", "--filter", "status=exited").stdout
        assert not ended, self.run("dev/compose.sh", "logs", "--tail=30").stdout
        return all(
            get(f"http://{at[name]}/health/ready").status == 200 for name in ("http", "worker_metrics", "krane_metrics")
        )

    def down(self) -> None:
        self.run("dev/compose.sh", "down", check=False)
        installation = f"label=sealift.region={NAME.removeprefix('sealift-')}"
        for kind, remove in (("ps -aq", "rm -f -v"), ("network ls -q", "network rm")):
            found = self.run("docker", *kind.split(), "--filter", installation, check=False).stdout.split()
            if found:
                self.run("docker", *remove.split(), *found, check=False)
        shutil.rmtree(self.scratch, ignore_errors=True)


@pytest.fixture
def composed() -> Iterator[Composed]:
    stack = Composed()
    try:
        yield stack
    finally:
        stack.down()


@pytest.mark.timeout(600)
def test_compose_deploys_an_app(composed: Composed) -> None:
    """Promise: `make compose` is `make up` from images; the command line finds it the same way."""
    composed.run("dev/compose.sh", "up", "-d")
    eventually(composed.is_ready, within_s=90, what="api, worker and krane are ready")
    base = subprocess.run(["dev/base_image.sh"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    api = composed.endpoints()["api"]
    sealift = (".venv/bin/sealift", "--url", f"http://{api}")
    composed.run(*sealift, "projects", "create", "hello")
    done = composed.run(
        *sealift, "deploy", "examples/hello", "--build-arg", f"BASE_IMAGE={base.stdout.strip()}", "--json"
    )
    last: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    assert get(last["url"]).status == 200
