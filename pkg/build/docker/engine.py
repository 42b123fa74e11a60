"""The two questions that the backend asks of the engine's own API, over its unix socket."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

TIMEOUT_S = 30


class EngineError(Exception):
    """The engine is away, or answered something else than expected."""


async def inspect_image(socket: Path, name: str) -> dict[str, Any] | None:
    """GET /images/{name}/json; None when there is no such image.

    Raises:
        EngineError: no answer within 30 s, or an error.
    """
    return await _get(socket, f"/images/{quote(name, safe='/:')}/json")


async def version(socket: Path) -> dict[str, Any]:
    """GET /version.

    Raises:
        EngineError: no answer within 30 s, or an error.
    """
    found = await _get(socket, "/version")
    if found is None:
        raise EngineError(f"{socket} does not answer like a Docker engine")
    return found


async def _get(socket: Path, path: str) -> dict[str, Any] | None:
    connector = aiohttp.UnixConnector(path=str(socket))
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
            http.get(f"http://docker{path}") as response,
        ):
            if response.status == 404:
                return None
            if response.status != 200:
                raise EngineError(f"the engine at {socket} answered {response.status} to GET {path}")
            answer: dict[str, Any] = await response.json()
            return answer
    except (TimeoutError, aiohttp.ClientError, OSError) as e:
        raise EngineError(f"the engine at {socket} does not answer: {type(e).__name__}: {e}") from e
