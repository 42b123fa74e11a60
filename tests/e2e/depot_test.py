"""Promise: with builds at Depot everything works as with the engine's builder, through the command line."""

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.depot.testing import DepotDouble, Gate, depot_double
from pkg.registry.testing import PULLER, PUSHER, DockerRegistry
from tests.harness import apps
from tests.harness.stack import Stack

START_TIMEOUT_S = 90


class Elsewhere:
    """What is not on the machine of the stack: Depot, and a way to the stack. As a context, in a thread of its own."""

    def __init__(self, daemon: BuildkitDaemon) -> None:
        self._daemon = daemon
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="elsewhere")
        self._parts = AsyncExitStack()
        self.way = Gate()

    def __enter__(self) -> "Elsewhere":
        self._thread.start()
        self.depot: DepotDouble = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(START_TIMEOUT_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._parts.aclose(), self._loop).result(START_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> DepotDouble:
        await self.way.open(self._daemon.address)
        self._parts.push_async_callback(self.way.close)
        return await self._parts.enter_async_context(depot_double(self._daemon.socket))


@pytest.fixture(scope="module")
def daemon() -> Iterator[BuildkitDaemon]:
    running = BuildkitDaemon()
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def registry(daemon: BuildkitDaemon) -> Iterator[DockerRegistry]:
    """Not on loopback, with a certificate that the machines of Depot trust, and the engine that runs the apps."""
    with DockerRegistry(login="basic", tls=True, address=daemon.address) as running:
        folders = [root / running.host for root in (daemon.folder / "certs.d", Path("/etc/docker/certs.d"))]
        try:
            for folder in folders:
                folder.mkdir(parents=True)
                shutil.copy(running.authority_file, folder / "ca.crt")
            yield running
        finally:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def elsewhere(daemon: BuildkitDaemon) -> Iterator[Elsewhere]:
    with Elsewhere(daemon) as running:
        yield running


@pytest.fixture(scope="module")
def stack(
    engine_socket: str, elsewhere: Elsewhere, registry: DockerRegistry, daemon: BuildkitDaemon
) -> Iterator[Stack]:
    """A stack whose worker trusts the registry."""
    config = elsewhere.depot.config()
    toml = f"""
external_url = "http://{daemon.address}:{elsewhere.way.port}"
[build]
backend = "depot"
sbom_scanner = ""
[depot]
api_url = "{config.api_url}"
access_token = "{config.access_token.reveal()}"
[registry]
url = "{registry.host}/apps"
username = "{PUSHER.username}"
password = "{PUSHER.password.reveal()}"
ca_file = "{registry.authority_file}"
[[registries]]
host = "{registry.host}"
username = "{PULLER.username}"
password = "{PULLER.password.reveal()}"
"""
    with Stack(engine_socket, toml=toml) as one:
        elsewhere.way.lead_to(int(one.endpoints["http"].rpartition(":")[2]))
        yield one


def test_a_build_and_what_is_told_of_it(
    stack: Stack, elsewhere: Elsewhere, registry: DockerRegistry, tmp_path: Path
) -> None:
    """An image is built, shown with its steps and attestation, and named in the registry; its log names the machine."""
    assert stack.sealift("projects", "create", "web").code == 0
    app = apps.app(tmp_path / "app", build=f"RUN echo built at depot {os.urandom(4).hex()}")
    done = stack.sealift("build", str(app), "--project", "web", "--json")
    assert done.code == 0, done.err
    build_id = done.last_json["build_id"]
    ((image_ref, depot_project_id),) = stack.rows(
        "SELECT b.image_ref, p.depot_project_id FROM builds b JOIN projects p ON p.id = b.project_id WHERE b.id = ?",
        build_id,
    )
    assert image_ref.startswith(f"{registry.host}/apps/")
    ((depot_build_id, made),) = elsewhere.depot.builds.items()
    assert (made.outcome, made.released, made.project_id) == ("success", 1, depot_project_id)
    shown = stack.sealift("build", "show", build_id)
    assert "provenance" in shown.out
    log = stack.sealift("logs", build_id)
    assert "built at depot" in log.out
    assert f"acquired a machine of Depot: build {depot_build_id}, platform linux/amd64, architecture amd64" in log.out


def test_a_deploy(stack: Stack, elsewhere: Elsewhere, registry: DockerRegistry, project: str, tmp_path: Path) -> None:
    """What was built at Depot runs here, and a build made before is deployed without another one."""
    app = apps.app(tmp_path / "app", "one")
    done = stack.deploy(app, project)
    assert done.code == 0, done.err
    assert stack.get(project).body == "one"
    apps.edit(app, "two")
    built = stack.sealift("build", str(app), "--project", project, "--json")
    assert built.code == 0, built.err
    assert stack.get(project).body == "one"
    builds = len(elsewhere.depot.builds)
    ready = stack.sealift("deploy", "--build", built.last_json["build_id"], "--json")
    assert ready.code == 0, ready.err
    assert stack.get(project).body == "two"
    assert len(elsewhere.depot.builds) == builds
    ((image_ref,),) = stack.rows("SELECT image_ref FROM deployments WHERE id = ?", ready.last_json["deployment_id"])
    assert image_ref.startswith(f"{registry.host}/apps/")


def test_a_failure_reads_as_with_every_builder(stack: Stack, elsewhere: Elsewhere, tmp_path: Path) -> None:
    """The command that fails is named with its exit code, for the user and at Depot; the token is in no file."""
    assert stack.sealift("projects", "create", "broken").code == 0
    app = apps.app(tmp_path / "app", build="RUN exit 7")
    failed = stack.sealift("build", str(app), "--project", "broken", "--json")
    assert failed.code == 4
    assert "exit code 7" in failed.err + failed.out
    assert "exit code 7" in elsewhere.depot.last.outcome
    secrets = [elsewhere.depot.token, *(made.token for made in elsewhere.depot.builds.values())]
    for path in [*stack.state.glob("logs/*"), *stack.state.glob("*.db*")]:
        text = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in text], path
