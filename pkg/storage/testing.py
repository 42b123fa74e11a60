"""Functions for tests that use an object store."""

import hashlib
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from yarl import URL

from pkg.storage.port import RUNNER_LIMITS, ObjectStore


async def put(store: ObjectStore, path: str, content: bytes) -> str:
    """Uploads by presigned URL, as a client does. Returns the sha256."""
    sha256 = hashlib.sha256(content).hexdigest()
    to = store.presign_put(path, size_bytes=len(content), sha256=sha256, ttl_s=60, sends_headers=True)
    url, body = URL(to.url, encoded=True), io.BytesIO(content)
    async with aiohttp.ClientSession() as http, http.put(url, data=body, headers=to.headers) as response:
        assert response.status == 200, await response.text()
    return sha256


@asynccontextmanager
async def routes_served(store: ObjectStore, listener: socket.socket) -> AsyncIterator[None]:
    """Serves the store's routes on a bound socket, as the api does, until the block ends."""
    app = web.Application()
    app.add_routes(store.routes())
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, **RUNNER_LIMITS)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()
