"""Short calls to the engine: the blocking `docker` SDK in a separate executor, its errors as ours."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import docker
import docker.errors
import requests.exceptions

from pkg.docker.sdk import open_client
from pkg.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")

# Threads by what the calls do, so that calls of one kind that hang don't hold up the others. Starts are bounded by the
# controller's slots; the engine is the bottleneck at about 0.25 s a container.
THREADS = {"ask": 4, "start": 6, "change": 4}
CALL_TIMEOUT_S = 60
OPEN_TIMEOUT_S = 5
CLOSE_WAIT_S = 8.0


class EngineCalls:
    """One SDK client and its threads. `call` may be used by many tasks at once."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._pools = {
            kind: ThreadPoolExecutor(threads, thread_name_prefix=f"engine-{kind}") for kind, threads in THREADS.items()
        }
        self._client: docker.APIClient | None = None
        self._in_flight: set[asyncio.Future[Any]] = set()

    async def open(self) -> dict[str, Any]:
        """Connects, agrees on an API version, and answers the engine's version facts. Idempotent.

        Raises:
            Unavailable: nothing usable answers on the socket.
        """
        try:
            if self._client is None:
                self._client = await self._run(self._connect, "ask")
            version: dict[str, Any] = await self.call(self.client.version)
        except docker.errors.APIError as error:
            raise self._away(_first_line(error)) from error
        return version

    @property
    def client(self) -> docker.APIClient:
        """The SDK client; its methods block, so pass them to `call`."""
        if self._client is None:
            raise self._away("not connected yet")
        return self._client

    async def call(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs one blocking SDK method that asks, in the threads for that. See `start` and `change` for others.

        A cancelled caller leaves the call running: the engine would carry it out anyway.

        Raises:
            docker.errors.APIError: what the engine answered.
            Unavailable: it did not answer.
        """
        return await self._run(lambda: method(*args, **kwargs), "ask")

    async def start(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`call` for what makes or starts a container."""
        return await self._run(lambda: method(*args, **kwargs), "start")

    async def change(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`call` for what changes or removes something."""
        return await self._run(lambda: method(*args, **kwargs), "change")

    async def close(self) -> None:
        """Lets calls in flight come to their end (at most 8 s), then ends the connections."""
        if self._in_flight:
            await asyncio.wait(set(self._in_flight), timeout=CLOSE_WAIT_S)
        if self._client is not None:
            self._client.close()
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _connect(self) -> docker.APIClient:
        return open_client(
            self._socket_path,
            timeout_s=CALL_TIMEOUT_S,
            open_timeout_s=OPEN_TIMEOUT_S,
            pool_connections=sum(THREADS.values()),
        )

    async def _run(self, work: Callable[[], T], kind: str) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._pools[kind], work)
        self._in_flight.add(future)
        future.add_done_callback(self._in_flight.discard)
        try:
            return await asyncio.shield(future)
        except (requests.exceptions.RequestException, OSError) as error:
            if isinstance(error, requests.exceptions.HTTPError):
                raise
            raise self._away(_first_line(error)) from error
        except docker.errors.APIError:
            raise
        except docker.errors.DockerException as error:
            raise self._away(_first_line(error)) from error

    def _away(self, why: str) -> Unavailable:
        return Unavailable(
            "engine.unavailable", f"the Docker engine at {self._socket_path} does not answer ({why}); is it running?"
        )


def said(error: docker.errors.APIError) -> str:
    """The engine's message, at most 500 characters."""
    return str(error.explanation or error)[:500]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
