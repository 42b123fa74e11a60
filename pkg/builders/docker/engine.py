"""The few questions that the backend asks of the engine's own API, over its unix socket."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

TIMEOUT_S = 30
DELETE_TIMEOUT_S = 120  # the engine removes the layers before it answers


class EngineError(Exception):
    """The engine is away, or answered something else than expected."""


async def inspect_image(socket: Path, name: str) -> dict[str, Any] | None:
    """GET /images/{name}/json; None when there is no such image.

    Raises:
        EngineError: no answer within 30 s, or an error.
    """
    status, answer = await _request(socket, "GET", f"/images/{_quoted(name)}/json", allowed=(200, 404))
    return answer if status == 200 else None


async def list_images(socket: Path, label: str) -> list[dict[str, Any]]:
    """GET /images/json: images with this label (`key=value`), also those without a name.

    Raises:
        EngineError: no answer within 30 s, or an error.
    """
    filters = quote(json.dumps({"label": [label]}))
    _, answer = await _request(socket, "GET", f"/images/json?filters={filters}", allowed=(200,))
    found: list[dict[str, Any]] = answer
    return found


async def delete_image(socket: Path, name: str) -> bool:
    """DELETE /images/{name}, without force: a name is taken away; with the last one goes the image.

    True also when there is no such image. False: the engine refuses, as a container or another name needs it.

    Raises:
        EngineError: no answer within 120 s, or an error.
    """
    path = f"/images/{_quoted(name)}"
    status, _ = await _request(socket, "DELETE", path, allowed=(200, 404, 409), timeout_s=DELETE_TIMEOUT_S)
    return status != 409


async def version(socket: Path) -> dict[str, Any]:
    """GET /version.

    Raises:
        EngineError: no answer within 30 s, or an error.
    """
    status, found = await _request(socket, "GET", "/version", allowed=(200, 404))
    if status == 404:
        raise EngineError(f"{socket} does not answer like a Docker engine")
    answer: dict[str, Any] = found
    return answer


def _quoted(name: str) -> str:
    return quote(name, safe="/:")


async def _request(
    socket: Path, method: str, path: str, *, allowed: tuple[int, ...], timeout_s: float = TIMEOUT_S
) -> tuple[int, Any]:
    connector = aiohttp.UnixConnector(path=str(socket))
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
            http.request(method, f"http://docker{path}") as response,
        ):
            if response.status not in allowed:
                raise EngineError(f"the engine at {socket} answered {response.status} to {method} {path}")
            return response.status, await response.json()
    except (TimeoutError, ValueError, aiohttp.ClientError, OSError) as e:
        raise EngineError(f"the engine at {socket} does not answer: {type(e).__name__}: {e}") from e
