"""Builds by a buildkitd behind mutual TLS, as a user makes them: the image is pushed, and runs from the registry."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.buildkit.testing_front import SERVER_NAME, Authority, mtls_front
from pkg.registry.testing import PULLER, PUSHER, DockerRegistry
from tests.harness import apps
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(300)

STEP = 'RUN ["/bin/sh", "-c", "echo compiling"]'


@pytest.fixture(scope="module")
def registry() -> Iterator[DockerRegistry]:
    """With a token server: one account pushes, another one pulls."""
    with DockerRegistry(login="token") as one:
        yield one


@pytest.fixture(scope="module")
def buildkitd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A modern BuildKit behind TLS, as lines of `[build]`."""
    folder, authority, daemon = tmp_path_factory.mktemp("tls"), Authority(), BuildkitDaemon()
    (folder / "ca.pem").write_bytes(authority.pem)
    cert, key = authority.issue("worker").write(folder, "worker")
    address: list[str] = []
    opened, ends = threading.Event(), threading.Event()

    async def serve() -> None:
        async with mtls_front(daemon.socket, authority.issue(SERVER_NAME), authority.pem, folder) as front:
            address.append(front.address)
            opened.set()
            await asyncio.to_thread(ends.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="buildkit-front")
    try:
        daemon.start()
        thread.start()
        assert opened.wait(10)
        yield (
            f'[build]\nbackend = "buildkit"\naddress = "{address[0]}"\nserver_name = "{SERVER_NAME}"\n'
            'sbom_scanner = ""\n'
            f'ca_file = "{folder}/ca.pem"\ncert_file = "{cert}"\nkey_file = "{key}"\n'
        )
    finally:
        ends.set()
        if thread.ident is not None:
            thread.join()
        daemon.stop()


@pytest.fixture(scope="module")
def stack(engine_socket: str, registry: DockerRegistry, buildkitd: str) -> Iterator[Stack]:
    """One that builds there, pushes to the registry and pulls with another account."""
    toml = (
        f"{buildkitd}"
        f'[registry]\nurl = "{registry.host}/apps"\npassword = "{PUSHER.password.reveal()}"\n'
        f'[[registries]]\nhost = "{registry.host}"\nusername = "{PULLER.username}"\n'
        f'password = "{PULLER.password.reveal()}"\n'
    )
    with Stack(engine_socket, toml=toml) as one:
        yield one


def test_a_deploy(stack: Stack, project: str, registry: DockerRegistry, tmp_path: Path) -> None:
    """The same commands, timeline and words as with the engine; a repeated build re-uses every step."""
    directory = apps.app(tmp_path / "app", "one", build=STEP)
    done = stack.deploy(directory, project)
    assert done.code == 0, done.err
    assert stack.get(project).body == "one"
    shown = stack.sealift("build", "show", "--project", project, "--json").last_json
    assert shown["image_ref"].startswith(f"{registry.host}/apps/proj-")
    assert "@sha256:" in shown["image_ref"]
    assert (shown["platform"], shown["attestations"]) == ("linux/amd64", ["provenance"])
    assert any("compiling" in step["name"] for step in shown["steps"])

    again = stack.sealift("build", str(directory), "--project", project)
    assert again.code == 0, again.err
    steps = stack.sealift("build", "show", "--project", project, "--json").last_json["steps"]
    assert {step["state"] for step in steps if step["name"].startswith("[1/")} == {"cached"}

    apps.app(directory, "two", build='RUN ["/bin/sh", "-c", "echo oops; exit 3"]')
    failed = stack.sealift("build", str(directory), "--project", project, "--json")
    assert (failed.code, failed.last_json["code"]) == (4, "build.command_failed")
    assert "ended with exit code 3" in failed.last_json["message"]
    assert stack.get(project).body == "one"


def test_kill_9_of_the_worker_during_a_build(stack: Stack, project: str, tmp_path: Path) -> None:
    """The daemon ends what the killed worker began, another attempt builds, and the deployment ends once."""
    directory = apps.app(tmp_path / "app", "one", build='RUN ["/bin/sh", "-c", "echo slow; sleep 8"]')
    cli = stack.start_cli("deploy", str(directory), "--project", project, "--json")
    began = "SELECT 1 FROM builds b JOIN projects p ON p.id = b.project_id WHERE p.slug = ? AND b.attempt = 1"
    eventually(lambda: stack.rows(began, project), within_s=60, what="the build has begun")
    stack.signal("worker", signal.SIGKILL)
    done = finish(cli)
    assert done.code == 0, done.err
    rows = stack.rows("SELECT b.status FROM builds b JOIN projects p ON p.id = b.project_id WHERE p.slug = ?", project)
    assert rows == [("succeeded",)]
    assert stack.get(project).body == "one"
