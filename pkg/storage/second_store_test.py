"""A second store, in memory with an endpoint of its own as S3 has one, takes its section and one line of the union.

It passes the tests of every store, and nothing outside of this file knows it.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pkg.config import ConfigError, Strict, load
from pkg.errors import NotFound, Unavailable
from pkg.storage.contract import ObjectStoreContract
from pkg.storage.errors import check_content
from pkg.storage.factory import AnyStorageConfig
from pkg.storage.port import Capabilities, ObjectInfo, ObjectStore, PresignedPut, StorageConfig, check_path


@dataclass
class Bucket:
    """What is stored, and the endpoint that serves it."""

    key: bytes
    objects: dict[str, tuple[bytes, int]]
    endpoint: str = ""
    is_away: bool = False

    def signature(self, *parts: object) -> str:
        return hmac.digest(self.key, repr(parts).encode(), "sha256").hex()

    def info(self, path: str) -> ObjectInfo | None:
        if path not in self.objects:
            return None
        content, modified_at = self.objects[path]
        return ObjectInfo(path, len(content), None, hashlib.sha256(content).hexdigest()[:32], modified_at)

    async def put(self, request: web.Request) -> web.Response:
        path, query, content = request.match_info["path"], request.query, await request.read()
        signed = (query.get("size"), query.get("sha256"))
        if query.get("signature") != self.signature("PUT", path, *signed):
            return web.Response(status=403)
        if signed != (str(len(content)), hashlib.sha256(content).hexdigest()):
            return web.Response(status=400)
        self.add(path, content)
        return web.Response()

    def add(self, path: str, content: bytes) -> None:
        if path not in self.objects or self.objects[path][0] != content:
            self.objects[path] = (content, int(time.time() * 1000))

    async def get(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if request.query.get("signature") != self.signature("GET", path):
            return web.Response(status=403)
        if path not in self.objects:
            return web.Response(status=404)
        content, modified_at = self.objects[path]
        start, end = 0, len(content)
        if "Range" in request.headers:
            byte_range = request.http_range
            start, end, _ = slice(byte_range.start, byte_range.stop).indices(len(content))
            if start >= len(content):
                return web.Response(status=416)
        response = web.Response(body=content[start:end], status=206 if "Range" in request.headers else 200)
        response.last_modified = modified_at // 1000
        return response


class MemoryStore:
    """`ObjectStore` on a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    capabilities = Capabilities(binds_uploads=True, checks_sha256=True)

    async def prepare(self) -> None:
        pass

    def routes(self) -> Sequence[web.RouteDef]:
        return ()

    async def check(self) -> None:
        if self._bucket.is_away:
            raise Unavailable("object.unavailable", "the bucket does not answer")

    async def close(self) -> None:
        pass

    def presign_put(
        self, path: str, *, size_bytes: int, sha256: str, ttl_s: int, sends_headers: bool = False
    ) -> PresignedPut:
        del ttl_s, sends_headers
        signature = self._bucket.signature("PUT", check_path(path), str(size_bytes), sha256)
        query = urlencode({"size": size_bytes, "sha256": sha256, "signature": signature})
        return PresignedPut(f"{self._bucket.endpoint}/{path}?{query}")

    def presign_get(self, path: str, *, ttl_s: int, with_etag: bool = True) -> str:
        del ttl_s, with_etag
        return f"{self._bucket.endpoint}/{path}?signature={self._bucket.signature('GET', check_path(path))}"

    async def put(self, path: str, pieces: AsyncIterator[bytes], *, size_bytes: int, sha256: str) -> ObjectInfo:
        content = b"".join([piece async for piece in pieces])
        check_content(len(content), hashlib.sha256(content).hexdigest(), size_bytes=size_bytes, sha256=sha256)
        self._bucket.add(check_path(path), content)
        info = self._bucket.info(path)
        assert info is not None
        return info

    async def head(self, path: str) -> ObjectInfo | None:
        return self._bucket.info(check_path(path))

    async def open_read(self, path: str) -> AsyncIterator[bytes]:
        if await self.head(path) is None:
            raise NotFound("object.not_found", path)
        content = self._bucket.objects[path][0]
        for start in range(0, len(content), 1 << 20):
            await asyncio.sleep(0)
            yield content[start : start + (1 << 20)]

    async def fetch(self, path: str, to: Path) -> ObjectInfo:
        content = b"".join([piece async for piece in self.open_read(path)])
        to.touch(0o600, exist_ok=False)
        to.write_bytes(content)
        info = self._bucket.info(path)
        assert info is not None
        return info

    async def delete(self, path: str) -> None:
        self._bucket.objects.pop(check_path(path), None)

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        infos = (self._bucket.info(path) for path in sorted(self._bucket.objects))
        return [info for info in infos if info and info.path.startswith(f"{prefix}/" if prefix else "")]


class MemoryConfig(StorageConfig):
    """Objects in a bucket of this process."""

    BUCKETS: ClassVar[dict[str, Bucket]] = {}

    backend: Literal["memory"] = "memory"
    bucket: str

    def open(self, served_at: str = "") -> MemoryStore:
        del served_at
        return MemoryStore(self.BUCKETS[self.bucket])


# The line of pkg/storage/factory.py, with one more member.
WithMemory: TypeAlias = AnyStorageConfig | MemoryConfig


class Config(Strict):
    """A service's."""

    objects: WithMemory


def opened(tmp_path: Path, text: str) -> ObjectStore:
    (tmp_path / "service.toml").write_text(text)
    return load(tmp_path / "service.toml", Config).objects.open()


@pytest.fixture
async def bucket() -> AsyncIterator[Bucket]:
    made = Bucket(b"key", {})
    app = web.Application(client_max_size=1 << 30)
    app.add_routes([web.put("/{path:.+}", made.put), web.get("/{path:.+}", made.get)])
    async with TestServer(app) as server:
        made.endpoint = str(server.make_url("")).rstrip("/")
        MemoryConfig.BUCKETS["b1"] = made
        yield made
        MemoryConfig.BUCKETS.clear()


@pytest.fixture
def store(tmp_path: Path, bucket: Bucket) -> ObjectStore:
    return opened(tmp_path, '[objects]\nbackend = "memory"\nbucket = "b1"\n')


class TestMemoryStore(ObjectStoreContract):
    """All of the contract."""


async def test_what_does_not_work_is_told(store: ObjectStore, bucket: Bucket) -> None:
    """Promise: every store says by `check` that it is away."""
    bucket.is_away = True
    with pytest.raises(Unavailable, match=r"object\.unavailable"):
        await store.check()


def test_a_store_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """Promise: the refusal lists the stores that exist."""
    with pytest.raises(ConfigError, match=r"objects\.backend: expected one of 'disk', 's3', 'memory', got 'nfs'"):
        opened(tmp_path, '[objects]\nbackend = "nfs"\n')
