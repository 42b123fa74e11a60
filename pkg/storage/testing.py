"""Functions for tests that use an object store."""

import hashlib
import io

import aiohttp
from yarl import URL

from pkg.storage.port import ObjectStore


async def put(store: ObjectStore, path: str, content: bytes) -> str:
    """Uploads by presigned URL, as a client does. Returns the sha256."""
    sha256 = hashlib.sha256(content).hexdigest()
    to = store.presign_put(path, size_bytes=len(content), sha256=sha256, ttl_s=60, sends_headers=True)
    url, body = URL(to.url, encoded=True), io.BytesIO(content)
    async with aiohttp.ClientSession() as http, http.put(url, data=body, headers=to.headers) as response:
        assert response.status == 200, await response.text()
    return sha256
