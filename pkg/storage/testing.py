"""A real Disk store behind a real HTTP server on loopback, for tests of whatever uses an object store."""

import hashlib
import io
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from pkg.storage.disk import DiskStore
from pkg.storage.disk_http import RUNNER_LIMITS, add_routes
from pkg.storage.port import ObjectStore
from pkg.storage.signer import UrlSigner

KEY = b"0123456789abcdef" * 2


@asynccontextmanager
async def served(root: Path, now: Callable[[], float] = time.time) -> AsyncIterator[DiskStore]:
    """A store below `root`, served on a free loopback port until the block ends. `now` is the signer's clock."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        store = DiskStore(root, UrlSigner(KEY, now), base_url)
        app = web.Application()
        add_routes(app, store)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, **RUNNER_LIMITS)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield store
        finally:
            await runner.cleanup()
            store.close()


async def put(store: ObjectStore, path: str, content: bytes) -> str:
    """Uploads by presigned URL, as a client does. Returns the sha256."""
    sha256 = hashlib.sha256(content).hexdigest()
    url = store.presign_put(path, size_bytes=len(content), sha256=sha256, ttl_s=60)
    async with aiohttp.ClientSession() as http, http.put(URL(url, encoded=True), data=io.BytesIO(content)) as response:
        assert response.status == 200, await response.text()
    return sha256
