"""Long calls to the engine, without threads: events, pulls, graceful stops and logs by aiohttp on its socket."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp

from pkg.docker.frames import Frame, FrameReader, Unframer
from pkg.errors import Unavailable
from pkg.images.config import RegistryLogin
from pkg.images.ref import DOCKER_HUB

DOCKER_HUB_LOGIN = "https://index.docker.io/v1/"  # the name that its logins have
MAX_LOG_BYTES = 256 * 1024
MAX_FRAME_BYTES = 1024 * 1024  # the engine cuts longer lines into records of 16 KiB
MAX_EVENT_BYTES = 1024 * 1024
LOG_TIMEOUT_S = 5.0
SIZES_TIMEOUT_S = 300.0
STATS_TIMEOUT_S = 10.0
PING_TIMEOUT_S = 3.0


class EngineStreams:
    """A small client of the Engine API. Must be made inside a running loop."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._version = ""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=socket_path, limit=0),
            base_url="http://engine/",
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
        )

    def use_version(self, api_version: str) -> None:
        """The Engine API version to speak, e.g. "1.41"; without it the engine answers in its newest."""
        self._version = f"v{api_version}/"

    async def close(self) -> None:
        """Ends every stream."""
        await self._session.close()

    async def events(self, filters: Mapping[str, Sequence[str]]) -> AsyncIterator[dict[str, Any]]:
        """Engine events from now on. Ends when the engine closes the stream; raises Unavailable when it breaks."""
        async for event in self._json_lines("GET", "events", {"filters": json.dumps(filters)}):
            yield event

    async def pull(self, name: str, tag: str, login: RegistryLogin | None = None) -> AsyncIterator[dict[str, Any]]:
        """Progress messages of a pull; one with "error" ends it.

        Args:
            name: of the repository, with the registry's host.
            tag: or digest ("sha256:...").
            login: sent to that registry by the engine, which does not keep it.
        """
        headers = {} if login is None else {"X-Registry-Auth": registry_auth(login)}
        async for message in self._json_lines("POST", "images/create", {"fromImage": name, "tag": tag}, headers):
            yield message

    async def push(self, name: str, tag: str, login: RegistryLogin) -> AsyncGenerator[dict[str, Any]]:
        """Progress messages of a push; the last one has the digest in "aux", or an "error". Leaving it ends the push.

        Args:
            name: of the repository, with the registry's host.
            tag: of an image that the engine has under this name.
            login: sent to that registry by the engine, which does not keep it.
        """
        headers = {"X-Registry-Auth": registry_auth(login)}
        async for message in self._json_lines("POST", f"images/{name}/push", {"tag": tag}, headers):
            yield message

    async def stop(self, name: str, grace_s: int) -> None:
        """Sends the image's stop signal, waits `grace_s` seconds, kills. Missing or stopped is success.

        Raises:
            Unavailable: the engine is away or refuses.
        """
        timeout = aiohttp.ClientTimeout(total=grace_s + 30)
        try:
            async with self._session.post(
                f"{self._version}containers/{name}/stop", params={"t": str(grace_s)}, timeout=timeout
            ) as answer:
                if answer.status not in (204, 304, 404):
                    raise self._away(f"stop of {name}: {await _message(answer)}")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._away(f"stop of {name}: {type(error).__name__}") from error

    async def logs(self, name: str, lines: int) -> bytes:
        """The last lines of both outputs: at most that number and 256 KiB, as far as they arrive within 5 s."""
        params = {"stdout": "1", "stderr": "1", "tail": str(lines)}
        unframer = Unframer(MAX_LOG_BYTES)
        try:
            async with (
                asyncio.timeout(LOG_TIMEOUT_S),
                self._session.get(f"{self._version}containers/{name}/logs", params=params) as answer,
            ):
                if answer.status != 200:
                    return b""
                async for chunk in answer.content.iter_any():
                    unframer.feed(chunk)
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass  # what came is better than nothing
        return unframer.output()

    async def follow_logs(self, name: str, since_s: int) -> AsyncGenerator[list[Frame]]:
        """Both outputs from `since_s` (epoch seconds) on, until the container ends. None when there is no container.

        Raises:
            Unavailable: the engine is away or refuses, or the stream broke.
        """
        params = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": "1", "since": str(since_s)}
        reader = FrameReader(MAX_FRAME_BYTES)
        try:
            async with self._session.get(f"{self._version}containers/{name}/logs", params=params) as answer:
                if answer.status == 404:
                    return
                if answer.status != 200:
                    raise self._away(f"logs of {name}: {await _message(answer)}")
                async for chunk in answer.content.iter_any():
                    if frames := reader.feed(chunk):
                        yield frames
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._away(f"logs of {name}: {type(error).__name__}") from error

    async def sizes(self, filters: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        """The running containers that pass, as the engine lists them, with `SizeRw`; within 5 min.

        Raises:
            Unavailable: the engine is away, refuses, or does not come to an end.
        """
        params = {"size": "1", "filters": json.dumps(filters)}
        found: list[dict[str, Any]] = await self._json("containers/json", params, SIZES_TIMEOUT_S)
        return found

    async def running(self, filters: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        """The running containers that pass, as the engine lists them. Raises Unavailable, as `sizes`."""
        params = {"filters": json.dumps(filters)}
        found: list[dict[str, Any]] = await self._json("containers/json", params, STATS_TIMEOUT_S)
        return found

    async def stats(self, container_id: str) -> dict[str, Any] | None:
        """What a container uses, as the engine counts it; None when there is no such container.

        Raises:
            Unavailable: the engine is away or refuses.
        """
        # It answers at its next look at the container, within a second; without "one-shot" at the second one.
        params = {"stream": "false", "one-shot": "true"}
        found: dict[str, Any] | None = await self._json(f"containers/{container_id}/stats", params, STATS_TIMEOUT_S)
        return found

    async def why_away(self) -> str:
        """Why the engine gives no answer within 3 s; "" if it gives one."""
        try:
            async with asyncio.timeout(PING_TIMEOUT_S), self._session.get("_ping") as answer:
                return "" if answer.status == 200 else f"it answers with an error: {await _message(answer)}"
        except TimeoutError:
            return f"it hangs: no answer within {PING_TIMEOUT_S:.0f} s"
        except (aiohttp.ClientError, OSError) as error:
            return f"no engine can be reached at {self._socket_path} ({type(error).__name__})"

    async def _json(self, path: str, params: Mapping[str, str], timeout_s: float) -> Any:
        """An answer; None for 404."""
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=5)
        try:
            async with self._session.get(f"{self._version}{path}", params=params, timeout=timeout) as answer:
                if answer.status == 404:
                    return None
                if answer.status != 200:
                    raise self._away(f"{path}: {await _message(answer)}")
                return await answer.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise self._away(f"{path}: {type(error).__name__}") from error

    async def _json_lines(
        self, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        try:
            async with self._session.request(
                method, f"{self._version}{path}", params=params, headers=headers
            ) as answer:
                if answer.status != 200:
                    yield {"error": await _message(answer), "status_code": answer.status}
                    return
                pending = b""
                async for chunk in answer.content.iter_any():
                    *complete, pending = (pending + chunk).split(b"\n")
                    for line in complete:
                        if line.strip():
                            yield json.loads(line)
                    if len(pending) > MAX_EVENT_BYTES:
                        raise self._away(f"{path}: a message above {MAX_EVENT_BYTES} bytes")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._away(f"{path}: {type(error).__name__}") from error

    def _away(self, why: str) -> Unavailable:
        return Unavailable("engine.unavailable", f"the Docker engine at {self._socket_path} broke off: {why}")


def registry_auth(login: RegistryLogin) -> str:
    """The value of X-Registry-Auth, by which the engine logs in to the registry of one pull or push."""
    host = DOCKER_HUB_LOGIN if login.canonical_host == DOCKER_HUB else login.canonical_host
    fields = {"username": login.username, "password": login.password.reveal(), "serveraddress": host}
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


async def _message(answer: aiohttp.ClientResponse) -> str:
    """What the engine says went wrong; bounded."""
    raw = await answer.content.read(4096)
    try:
        return str(json.loads(raw)["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status}"
