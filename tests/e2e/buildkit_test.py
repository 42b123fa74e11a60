"""Builds by a buildkitd behind mutual TLS, as a user makes them: the image is pushed, and runs from the registry."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.registry.testing import PULLER, PUSHER, DockerRegistry
from tests.harness import apps, buildkitd
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(600)

STEP = 'RUN ["/bin/sh", "-c", "echo compiling"]'


@pytest.fixture(scope="module")
def registry() -> Iterator[DockerRegistry]:
    """With a token server: one account pushes, another one pulls."""
    with DockerRegistry(login="token") as one:
        yield one


@pytest.fixture(scope="module")
def stack(engine_socket: str, registry: DockerRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One that builds there, pushes to the registry and pulls with another account."""
    accounts = (PUSHER.password.reveal(), PULLER.username, PULLER.password.reveal())
    with buildkitd.served(BuildkitDaemon(), tmp_path_factory.mktemp("tls")) as build:
        toml = build + buildkitd.registry_sections(registry.host, *accounts)
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
