"""Short calls of an engine's API over its unix socket: a connection each, no thread, no SDK."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pkg import local_http
from pkg.docker.errors import EngineError, EngineRefusedError
from pkg.docker.labels import label_filters

TIMEOUT_S = 30.0
DELETE_TIMEOUT_S = 120.0  # the engine removes layers before it answers
REMOVALS_AT_ONCE = 4  # of containers; more load a small machine without finishing sooner
ANSWER_MAX_BYTES = 64 * 1024 * 1024
_MAX_MESSAGE_CHARS = 500


class Engine:
    """An engine by the socket it listens on. Holds no connection between calls.

    Every method raises EngineError when the engine does not answer in time, and EngineRefusedError when it refuses.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    async def is_answering(self) -> bool:
        """Whether it answers within 2 s. Never raises."""
        return self.socket.exists() and await local_http.answers(self._address, "/_ping")

    async def version(self) -> dict[str, Any]:
        """GET /version."""
        found: dict[str, Any] = await self._json("GET", "/version")
        return found

    async def containers(self, label: str = "") -> list[dict[str, Any]]:
        """Every container with the label (`key=value`), running or not; "" lists all."""
        chosen = label_filters(label) if label else {}
        found: list[dict[str, Any]] = await self._json("GET", "/containers/json", {"all": "1", **chosen})
        return found

    async def remove_containers(self, label: str = "") -> int:
        """Kill and remove `containers(label)`, with their anonymous volumes; how many there were. Idempotent.

        All are tried, also when one can't be removed.
        """
        found = [str(one["Id"]) for one in await self.containers(label)]
        at_once = asyncio.Semaphore(REMOVALS_AT_ONCE)

        async def remove(container: str) -> None:
            async with at_once:  # 404: it is gone; 409: it is being removed
                await self._request(
                    "DELETE", f"/containers/{container}", {"force": "1", "v": "1"}, allowed=(204, 404, 409)
                )

        done = await asyncio.gather(*map(remove, found), return_exceptions=True)
        for failure in done:
            if isinstance(failure, BaseException):
                raise failure
        return len(found)

    async def networks(self, label: str) -> list[dict[str, Any]]:
        """Every network with the label (`key=value`)."""
        found: list[dict[str, Any]] = await self._json("GET", "/networks", label_filters(label))
        return found

    async def remove_networks(self, label: str) -> None:
        """Remove `networks(label)` that no container uses. Idempotent."""
        for network in await self.networks(label):
            # 403: a container still uses it
            await self._request("DELETE", f"/networks/{network['Id']}", allowed=(204, 403, 404))

    async def image(self, name: str) -> dict[str, Any] | None:
        """GET /images/{name}/json, by name or id; None when there is no such image."""
        answer = await self._request("GET", f"/images/{_quoted(name)}/json", allowed=(200, 404))
        found: dict[str, Any] | None = self._read(answer) if answer.status == 200 else None
        return found

    async def images(self, label: str) -> list[dict[str, Any]]:
        """Every image with the label (`key=value`), also those without a name."""
        found: list[dict[str, Any]] = await self._json("GET", "/images/json", label_filters(label))
        return found

    async def delete_image(self, name: str) -> bool:
        """DELETE /images/{name}, without force: takes a name away; with the last one goes the image.

        True also when there is no such image. False: the engine refuses, as a container or another name needs it.
        Takes up to 120 s.
        """
        path = f"/images/{_quoted(name)}"
        answer = await self._request("DELETE", path, allowed=(200, 404, 409), timeout_s=DELETE_TIMEOUT_S)
        return answer.status != 409

    @property
    def _address(self) -> str:
        return f"unix://{self.socket}"

    async def _json(self, method: str, path: str, query: Mapping[str, str] | None = None) -> Any:
        return self._read(await self._request(method, path, query))

    def _read(self, answer: local_http.Answer) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            raise EngineError(f"what listens at {self.socket} does not answer like a Docker engine") from error

    async def _request(
        self, method: str, path: str, query: Mapping[str, str] | None = None, *,
        allowed: tuple[int, ...] = (200,), timeout_s: float = TIMEOUT_S,
    ) -> local_http.Answer:  # fmt: skip
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            answer = await local_http.request(
                self._address, target, method=method, timeout_s=timeout_s, max_bytes=ANSWER_MAX_BYTES
            )
        except OSError as error:
            why = str(error) or type(error).__name__
            raise EngineError(f"the Docker engine at {self.socket} does not answer: {why}") from error
        if answer.status not in allowed:
            raise EngineRefusedError(
                f"the Docker engine at {self.socket} answered {answer.status} to {method} {path}: {_message(answer)}",
                answer.status,
            )
        return answer


def _message(answer: local_http.Answer) -> str:
    """The engine's own message."""
    try:
        text = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        text = answer.body.decode(errors="replace")
    return text[:_MAX_MESSAGE_CHARS].strip()


def _quoted(name: str) -> str:
    return quote(name, safe="/:")
