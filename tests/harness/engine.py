"""Queries the Docker engine through its API, because a machine may have an engine but no docker command."""

from pathlib import Path
from typing import Any

import docker.errors

from pkg.docker.sdk import open_client
from pkg.images import ImageRef
from tests.harness.http import get_by_socket

TIMEOUT_S = 30


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


def name_of_image(socket: str, image_id: str) -> str:
    """The first tag of an image."""
    with open_client(socket, timeout_s=TIMEOUT_S) as client:
        return str(client.inspect_image(image_id)["RepoTags"][0])  # type: ignore[no-untyped-call]


def has_image(socket: str, image_ref: str) -> bool:
    """Whether the engine has the image, `engine:<id>`."""
    with open_client(socket, timeout_s=TIMEOUT_S) as client:
        try:
            client.inspect_image(ImageRef.parse(image_ref).digest)  # type: ignore[no-untyped-call]
        except docker.errors.ImageNotFound:
            return False
        return True


def remove_images(socket: str, *labels: str) -> None:
    """Remove the images with all of these labels (`key=value`), whatever their tags."""
    with open_client(socket, timeout_s=TIMEOUT_S) as client:
        for image in client.images(filters={"label": list(labels)}):
            client.remove_image(image["Id"], force=True)
