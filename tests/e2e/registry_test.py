"""Promise: with a registry set, what was built once is in it, and runs wherever the registry can be reached."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkg.registry.testing import PULLER, PUSHER, DockerRegistry
from tests.harness import apps, engine
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(600)

# takes a registry a moment, so that it can be met while it receives
LARGE = "RUN dd if=/dev/urandom of=/large bs=1M count=64"


@pytest.fixture(scope="module")
def registry() -> Iterator[DockerRegistry]:
    """With a token server: one account pushes, another one pulls."""
    with DockerRegistry(login="token") as one:
        yield one


@pytest.fixture(scope="module")
def stack(engine_socket: str, registry: DockerRegistry) -> Iterator[Stack]:
    """One whose worker pushes and whose krane pulls, each with an account of its own."""
    toml = (
        f'[registry]\nurl = "{registry.host}/apps"\npassword = "{PUSHER.password.reveal()}"\n'
        f'[[registries]]\nhost = "{registry.host}"\nusername = "{PULLER.username}"\n'
        f'password = "{PULLER.password.reveal()}"\n'
    )
    with Stack(engine_socket, toml=toml) as one:
        yield one


def in_registry(registry: DockerRegistry, image_ref: str) -> str | None:
    """The digest that the registry has of this repository, or for this tag in it."""
    path, _, reference = image_ref.removeprefix(f"{registry.host}/").replace("@", "\0").partition("\0")
    path, _, tag = (path, "", reference) if reference else path.rpartition(":")

    async def ask() -> str | None:
        async with registry.client() as client:
            return await client.head(path, tag)

    return asyncio.run(ask())


def built(stack: Stack, deployment_id: str) -> tuple[str, str, str, int]:
    """Status, image_ref, image_name and attempt of the deployment's build."""
    (row,) = stack.rows(
        "SELECT status, image_ref, image_name, attempt FROM builds WHERE deployment_id = ?", deployment_id
    )
    return row


def test_what_was_built_runs_from_the_registry(
    stack: Stack, project: str, registry: DockerRegistry, tmp_path: Path
) -> None:
    """A deployment refers to the digest; it comes back by a rollback after its image has left the engine."""
    directory = apps.app(tmp_path / "app", "one")
    first = stack.deploy(directory, project)
    assert first.code == 0, first.err
    ident = first.last_json["deployment_id"]
    status, image_ref, name, attempt = built(stack, ident)
    assert (status, attempt) == ("succeeded", 1)
    assert image_ref.startswith(f"{registry.host}/apps/proj-")
    assert image_ref == f"{name.rpartition(':')[0]}@{in_registry(registry, name)}"
    assert stack.rows("SELECT image_ref, image_region FROM deployments WHERE id = ?", ident) == [(image_ref, None)]
    told = stack.sealift("logs", "--build", ident)
    assert f"push {name}" in told.out + told.err
    assert "pushed sha256:" in told.out

    apps.edit(directory, "two")
    assert stack.deploy(directory, project).code == 0
    assert stack.get(project).body == "two"
    assert stack.sealift("stop", ident).code == 0
    eventually(lambda: not stack.containers(ident), what="the first version has stopped")
    engine.remove_image(stack.engine_socket, name)
    registry.scopes.clear()
    back = stack.sealift("rollback", "--to", ident, "--project", project)
    assert back.code == 0, back.err
    assert stack.get(project).body == "one"
    # cleaning, which goes on beside it, asks for more than to pull
    pulling = [who for who, scope in registry.scopes if scope.startswith("repository:") and scope.endswith(":pull")]
    assert set(pulling) == {PULLER.username}


def test_a_build_is_deployed_from_the_registry(
    stack: Stack, project: str, registry: DockerRegistry, tmp_path: Path
) -> None:
    """A build that is no deployment's yet is pulled by its digest, with krane's account, where no engine has it."""
    directory = apps.app(tmp_path / "app", "one")
    done = stack.sealift("build", str(directory), "--project", project, "--json")
    assert done.code == 0, done.err
    build_id = done.last_json["build_id"]
    ((image_ref, name),) = stack.rows("SELECT image_ref, image_name FROM builds WHERE id = ?", build_id)
    engine.remove_image(stack.engine_socket, name)
    registry.scopes.clear()
    deployed = stack.sealift("deploy", "--build", build_id, "--json")
    assert deployed.code == 0, deployed.err
    assert stack.get(project).body == "one"
    ident = deployed.last_json["deployment_id"]
    assert stack.rows("SELECT image_ref, image_region FROM deployments WHERE id = ?", ident) == [(image_ref, None)]
    assert {who for who, scope in registry.scopes if scope.startswith("repository:")} == {PULLER.username}


def start_to_push(stack: Stack, project: str, registry: DockerRegistry, directory: Path) -> "subprocess.Popen[str]":
    """A deploy in the background, of which the registry has begun to receive the image."""
    apps.app(directory, "one", build=LARGE)
    before = registry.uploads
    cli = stack.start_cli("deploy", str(directory), "--project", project, "--json")
    eventually(lambda: registry.uploads - before, within_s=60, what="a layer is being pushed")
    return cli


def test_kill_9_of_the_worker_during_a_push(
    stack: Stack, project: str, registry: DockerRegistry, tmp_path: Path
) -> None:
    """Another attempt pushes the same image: one build, one deployment, one digest."""
    cli = start_to_push(stack, project, registry, tmp_path / "app")
    registry.halt()
    try:
        stack.kill("worker")
        eventually(lambda: stack.process("worker"), what="the worker is back")
    finally:
        registry.resume()
    done = finish(cli)
    assert done.code == 0, done.err
    ident = done.last_json["deployment_id"]
    status, image_ref, name, attempt = built(stack, ident)
    assert (status, attempt) == ("succeeded", 2)
    assert image_ref == f"{name.rpartition(':')[0]}@{in_registry(registry, name)}"
    assert stack.get(project).body == "one"


def test_a_registry_that_is_away_for_a_minute(
    stack: Stack, project: str, registry: DockerRegistry, tmp_path: Path
) -> None:
    """The engine repeats what it can, then the build makes other attempts, until the registry is back."""
    cli = start_to_push(stack, project, registry, tmp_path / "app")
    registry.stop()
    attempts = "SELECT attempt FROM builds WHERE ended_at IS NULL"
    try:
        eventually(lambda: stack.rows(attempts)[0][0] >= 3, within_s=120, what="a third attempt")
    finally:
        registry.start()
    done = finish(cli, timeout_s=120)
    assert done.code == 0, done.err
    assert in_registry(registry, built(stack, done.last_json["deployment_id"])[2])
    assert stack.get(project).body == "one"
    log = stack.sealift("logs", "--build", done.last_json["deployment_id"]).out
    assert "can't be reached" in log


def test_an_account_that_may_not_push(stack: Stack, project: str, registry: DockerRegistry, tmp_path: Path) -> None:
    """The user reads that the image was built, and what the operator has to set; nothing secret is anywhere."""
    directory = apps.app(tmp_path / "app", "one")
    registry.permit(PUSHER, "pull")
    try:
        done = stack.deploy(directory, project)
    finally:
        registry.permit(PUSHER, "pull", "push", "delete")
    assert done.code == 4
    assert done.last_json["code"] == "build.push_denied"
    assert "was built, but it could not be pushed" in done.out
    assert "[registry]" in done.out
    secrets = [account.password.reveal().encode() for account in (PUSHER, PULLER)]
    kept = [
        path for path in stack.state.rglob("*") if path.is_file() and path.name not in ("worker.toml", "krane.toml")
    ]
    assert not [path for path in kept if any(secret in path.read_bytes() for secret in secrets)]
