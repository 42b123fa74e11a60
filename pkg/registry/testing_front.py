"""Stands before a registry and makes it fail as registries do, for tests."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

MAX_BODY_BYTES = 1 << 30


@dataclass
class FaultyFront:
    """What a registry behind it answers, but for requests that `fault` answers instead.

    Attributes:
        host: its address with its port, as in names of images.
        fault: called with the method and the path of each request; an answer is sent instead of the registry's.
        holds: cleared, uploads of layers begin and wait until it is set.
        requests: method and path of each one so far.
        is_holding: set once an upload waits.
        has_lost: set once the client of such an upload has left.
    """

    host: str = ""
    fault: Callable[[str, str], web.Response | None] = lambda method, path: None
    holds: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[tuple[str, str]] = field(default_factory=list)
    is_holding: asyncio.Event = field(default_factory=asyncio.Event)
    has_lost: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def faulty_front(registry_host: str, certificate: ssl.SSLContext | None = None) -> AsyncIterator[FaultyFront]:
    """Serves on a free loopback port until the block ends; `registry_host` must be one without TLS.

    With a certificate the front ends TLS, and does not tell the registry so.
    """
    front = FaultyFront()
    front.holds.set()
    timeout = aiohttp.ClientTimeout(total=None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        front.host = f"127.0.0.1:{listener.getsockname()[1]}"
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout, connector=connector) as http:

            async def handle(request: web.Request) -> web.StreamResponse:
                front.requests.append((request.method, request.path))
                instead = front.fault(request.method, request.path)
                if instead is not None:
                    return instead
                is_layer = "/blobs/uploads/" in request.path and request.method in ("PATCH", "PUT")
                if is_layer and request.can_read_body and not front.holds.is_set():
                    front.is_holding.set()
                    try:
                        await front.holds.wait()
                    except asyncio.CancelledError:
                        front.has_lost.set()
                        raise
                return await _pass_on(http, f"http://{registry_host}", request)

            app = web.Application(client_max_size=MAX_BODY_BYTES)
            app.router.add_route("*", "/{path:.*}", handle)
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            try:
                await web.SockSite(runner, listener, ssl_context=certificate).start()
                yield front
            finally:
                front.holds.set()
                await runner.cleanup()


async def _pass_on(http: aiohttp.ClientSession, registry: str, request: web.Request) -> web.StreamResponse:
    body = request.content if request.can_read_body else None
    # one by one: engines send several headers Accept
    headers = [(name, value) for name, value in request.headers.items() if name.lower() != "transfer-encoding"]
    url = registry + request.raw_path
    async with http.request(request.method, url, headers=headers, data=body, allow_redirects=False) as answer:
        sent = web.StreamResponse(status=answer.status, headers=answer.headers)
        await sent.prepare(request)
        if request.method != "HEAD":
            async for chunk in answer.content.iter_any():
                await sent.write(chunk)
        await sent.write_eof()
        return sent


def refusal(status: int, code: str, message: str, **headers: str) -> web.Response:
    """An error as the distribution API has it. Underscores in names of headers stand for hyphens."""
    return web.json_response(
        {"errors": [{"code": code, "message": message}]},
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
