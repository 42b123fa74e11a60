"""A real Disk store behind a real HTTP server on loopback, for tests."""

import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from pkg.storage.disk.store import DiskStore
from pkg.storage.signer import UrlSigner
from pkg.storage.testing import routes_served

KEY = b"0123456789abcdef" * 2


@asynccontextmanager
async def served(root: Path, now: Callable[[], float] = time.time) -> AsyncIterator[DiskStore]:
    """A store below `root`, served on a free loopback port until the block ends. `now` is the signer's clock."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        store = DiskStore(root, UrlSigner(KEY, now), base_url)
        try:
            async with routes_served(store, listener):
                yield store
        finally:
            await store.close()
