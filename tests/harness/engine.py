"""Queries the Docker engine through its API, because a machine may have an engine but no docker command."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker.errors

from pkg.docker.sdk import open_client
from pkg.images import ImageRef
from tests.harness.http import get_by_socket

TIMEOUT_S = 60


def answers(socket: str) -> bool:
    """Whether an engine does."""
    return get_by_socket(Path(socket), "/_ping").status == 200


def containers(socket: str, *labels: str) -> list[dict[str, Any]]:
    """Containers with all of these labels (`key` or `key=value`), running or not, as the engine lists them."""
    with open_client(socket, timeout_s=TIMEOUT_S) as client:
        found: list[dict[str, Any]] = client.containers(all=True, filters={"label": list(labels)})
        return found


def inside(socket: str, container_id: str) -> dict[str, Any]:
    """The inspect result of a container: State.Pid, NetworkSettings, HostConfig."""
    with open_client(socket, timeout_s=TIMEOUT_S) as client:
        found: dict[str, Any] = client.inspect_container(container_id)
        return found


@contextlib.contextmanager
def named_image(socket: str, image_ref: str, name: str) -> Iterator[None]:
    """Gives the image `engine:<id>` another name (`repository:tag`) while the block runs."""
    repository, _, tag = name.rpartition(":")
    with open_client(socket, timeout_s=TIMEOUT_S) as client:
        client.tag(ImageRef.parse(image_ref).digest, repository, tag, force=True)
        try:
            yield
        finally:
            client.remove_image(name)


def push_image(socket: str, image_ref: str, name: str, account: tuple[str, str]) -> None:
    """Pushes the image `engine:<id>` under a name (`registry/repository:tag`), which the engine does not keep."""
    repository, _, tag = name.rpartition(":")
    login = dict(zip(("username", "password"), account, strict=True))
    with (
        named_image(socket, image_ref, name),
        open_client(socket, timeout_s=TIMEOUT_S) as client,
    ):
        said = list(client.push(repository, tag=tag, auth_config=login, stream=True, decode=True))
    assert any("aux" in one for one in said), said


def has_image(socket: str, image_ref: str) -> bool:
    """Whether the engine has the image, `engine:<id>`."""
    with open_client(socket, timeout_s=TIMEOUT_S) as client:
        try:
            client.inspect_image(ImageRef.parse(image_ref).digest)  # type: ignore[no-untyped-call]
        except docker.errors.ImageNotFound:
            return False
        return True


def remove_image(socket: str, name: str) -> None:
    """Remove the image that has this name (`repository:tag`), with its other names. No container may need it."""
    with open_client(socket, timeout_s=TIMEOUT_S) as client:
        client.remove_image(client.inspect_image(name)["Id"], force=True)  # type: ignore[no-untyped-call]


def remove_images(socket: str, *labels: str) -> None:
    """Remove the images with all of these labels (`key=value`), whatever their tags."""
    with open_client(socket, timeout_s=TIMEOUT_S) as client:
        for image in client.images(filters={"label": list(labels)}):
            client.remove_image(image["Id"], force=True)
