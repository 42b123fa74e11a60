"""Stands before an API server and makes it slow, or fail as API servers do, for tests."""

import asyncio
import base64
import contextlib
import json
import socket
import ssl
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType

import aiohttp
from aiohttp import web

from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.wait import WAIT_S

MAX_BODY_BYTES = 1 << 26
# aiohttp's documentation prescribes it: connections with TLS close after their session
TLS_CLOSE_S = 0.25
_HOP_BY_HOP = ("connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade")

Fault = Callable[[str, str], web.Response | None]


def no_fault(method: str, path: str) -> web.Response | None:
    """Every request reaches the API server."""
    del method, path
    return None


def too_many_requests(retry_after_s: int = 1) -> web.Response:
    """What an overloaded API server answers."""
    return failure(
        429, "TooManyRequests", "Too many requests, please try again later.", {"Retry-After": str(retry_after_s)}
    )


def failure(code: int, reason: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """An answer with an API server's Status object."""
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return web.json_response(status, status=code, headers=headers)


class ApiFront:
    """A proxy on a loopback port, in a thread of its own, from `with` to its end. Clients are administrators there.

    Attributes:
        delay_s: before each request is passed on. May be changed at any time.
        fault: called with the method and the path of each request; an answer is sent instead of the API server's. May
            be changed at any time.
        requests: method and path, with query, of each one so far.
        kubeconfig: of clients of the front.
    """

    def __init__(self, plane: ControlPlane) -> None:
        self.delay_s = 0.0
        self.fault: Fault = no_fault
        self.requests: list[tuple[str, str]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._config = json.loads(plane.kubeconfig.read_text())
        self.kubeconfig = plane.kubeconfig_through(url)
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)

    def __enter__(self) -> "ApiFront":
        self._thread.start()
        if not self._is_ready.wait(WAIT_S):
            raise RuntimeError("the front of the API server does not start; its error is above")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(WAIT_S)
        self._loop.close()

    async def _run(self) -> None:
        async with self._api_server() as api:

            async def handle(request: web.Request) -> web.StreamResponse:
                self.requests.append((request.method, request.path_qs))
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                instead = self.fault(request.method, request.path_qs)
                return await _pass_on(api, request) if instead is None else instead

            app = web.Application(client_max_size=MAX_BODY_BYTES)
            app.router.add_route("*", "/{path:.*}", handle)
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            await web.SockSite(runner, self._listener).start()
            self._is_ready.set()
            await self._ended.wait()
            await runner.cleanup()

    @contextlib.asynccontextmanager
    async def _api_server(self) -> AsyncIterator[aiohttp.ClientSession]:
        cluster, user = self._config["clusters"][0]["cluster"], self._config["users"][0]["user"]
        trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.TemporaryDirectory() as folder:
            pair = Path(folder) / "pair.pem"
            pair.write_bytes(
                base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"])
            )
            trust.load_cert_chain(pair)
        connector = aiohttp.TCPConnector(ssl=trust, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            cluster["server"], connector=connector, timeout=timeout, auto_decompress=False
        ) as session:
            yield session
        await asyncio.sleep(TLS_CLOSE_S)


async def _pass_on(api: aiohttp.ClientSession, request: web.Request) -> web.StreamResponse:
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
    body = await request.read() if request.can_read_body else None
    try:
        async with api.request(request.method, request.path_qs, headers=headers, data=body) as answer:
            out = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    out.headers.add(name, value)
            await out.prepare(request)
            async for piece in answer.content.iter_any():
                await out.write(piece)
            await out.write_eof()
            return out
    except (aiohttp.ClientError, OSError):
        # as the API server would: the connection breaks
        if request.transport is not None:
            request.transport.abort()
        raise
