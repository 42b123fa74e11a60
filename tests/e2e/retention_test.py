"""Promise: disk use is bounded. Images of old deployments are deleted; what a rollback may need is not."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkg.images import ImageRef
from pkg.registry.client import repository_of
from pkg.registry.testing import PULLER, PUSHER, DockerRegistry
from tests.harness import apps, engine
from tests.harness.stack import Stack
from tests.harness.wait import eventually


@pytest.fixture
def stack(engine_socket: str) -> Iterator[Stack]:
    """A stack of its own, which keeps the image of one ready deployment."""
    with Stack(engine_socket, toml="[retention]\nimages_per_environment = 1\n") as one:
        yield one


def test_old_images_go_and_a_rollback_still_works(stack: Stack, engine_socket: str, tmp_path: Path) -> None:
    """After the third deploy the first one's image goes, the second one's stays, as a rollback goes there."""
    assert stack.sealift("projects", "create", "web").code == 0
    directory, images = apps.app(tmp_path / "app", "one"), []
    ids = []
    for word in ("one", "two", "three"):
        apps.edit(directory, word)
        done = stack.deploy(directory, "web")
        assert done.code == 0, done.err
        ids.append(done.last_json["deployment_id"])
        images.append(image_of(stack, ids[-1]))
    assert len(set(images)) == 3
    for ident in ids[:2]:
        stopped = stack.sealift("stop", ident)
        assert stopped.code == 0, stopped.err
    # krane cleans up soon after each start, and every few minutes from then on
    stack.signal("krane", signal.SIGTERM)
    eventually(lambda: not engine.has_image(engine_socket, images[0]), within_s=60, what="the oldest image is deleted")
    assert image_of(stack, ids[0]) == ""
    assert [engine.has_image(engine_socket, image) for image in images[1:]] == [True, True]

    gone = stack.sealift("rollback", "--project", "web", "--to", ids[0])
    assert gone.code != 0
    assert "deploy that commit again" in gone.err
    back = stack.sealift("rollback", "--project", "web")
    assert back.code == 0, back.err
    assert stack.get("web").body == "two"


def test_old_images_go_from_the_registry_too(engine_socket: str, tmp_path: Path) -> None:
    """What the third deploy makes superfluous goes from the engine and from the registry, an hour after its push; the
    target of a rollback stays in the registry, and is pulled from there again."""
    with DockerRegistry(login="token") as registry:
        toml = (
            f"[retention]\nimages_per_environment = 1\n"
            f'[registry]\nurl = "{registry.host}/apps"\npassword = "{PUSHER.password.reveal()}"\n'
            f'[[registries]]\nhost = "{registry.host}"\nusername = "{PULLER.username}"\n'
            f'password = "{PULLER.password.reveal()}"\n'
        )
        with Stack(engine_socket, toml=toml) as stack:
            assert stack.sealift("projects", "create", "web").code == 0
            directory, ids = apps.app(tmp_path / "app", "one"), []
            for word in ("one", "two", "three"):
                apps.edit(directory, word)
                done = stack.deploy(directory, "web")
                assert done.code == 0, done.err
                ids.append(done.last_json["deployment_id"])
            refs = [image_of(stack, ident) for ident in ids]
            names = [name_of_build(stack, ident) for ident in ids]
            for ident in ids[:2]:
                assert stack.sealift("stop", ident).code == 0
            stack.signal("krane", signal.SIGTERM)
            eventually(lambda: image_of(stack, ids[0]) == "", within_s=60, what="the oldest image is given up")
            stack.signal("worker", signal.SIGTERM)
            assert [in_registry(registry, ref) for ref in refs] == [True, True, True], "it was pushed just now"
            stack.change("UPDATE builds SET ended_at = ended_at - ?", 2 * 3_600_000)
            stack.signal("worker", signal.SIGTERM)
            eventually(lambda: not in_registry(registry, refs[0]), within_s=60, what="the oldest image is deleted")
            assert [in_registry(registry, ref) for ref in refs] == [False, True, True]
            engine.remove_image(engine_socket, names[1])
            back = stack.sealift("rollback", "--project", "web")
            assert back.code == 0, back.err
            assert stack.get("web").body == "two"


def in_registry(registry: DockerRegistry, image_ref: str) -> bool:
    """Whether the registry has the image of this digest."""
    ref = ImageRef.parse(image_ref)

    async def ask() -> str | None:
        async with registry.client() as client:
            return await client.head(repository_of(ref), ref.digest)

    return asyncio.run(ask()) is not None


def name_of_build(stack: Stack, deployment_id: str) -> str:
    """Repository and tag of the image of the deployment's build."""
    return str(stack.rows("SELECT image_name FROM builds WHERE deployment_id = ?", deployment_id)[0][0])


def image_of(stack: Stack, deployment_id: str) -> str:
    """The image that the deployment's row names."""
    return str(stack.rows("SELECT image_ref FROM deployments WHERE id = ?", deployment_id)[0][0])
