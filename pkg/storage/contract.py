"""The tests that every object store passes."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from pkg.errors import InvalidArgument, NotFound
from pkg.storage.port import ObjectInfo, ObjectStore
from pkg.storage.testing import put

PATH = "contexts/proj_a/one.tar.gz"
CONTENT = bytes(range(256)) * 10_000  # 2.5 MB: more than two pieces


def put_url(store: ObjectStore, content: bytes, path: str = PATH) -> URL:
    """Where `content`, and nothing else, is uploaded."""
    sha256 = hashlib.sha256(content).hexdigest()
    return URL(store.presign_put(path, size_bytes=len(content), sha256=sha256, ttl_s=60).url, encoded=True)


def get_url(store: ObjectStore, path: str = PATH) -> URL:
    """Where the object is downloaded."""
    return URL(store.presign_get(path, ttl_s=60), encoded=True)


async def content_of(store: ObjectStore, path: str = PATH) -> bytes:
    """The whole object."""
    return b"".join([piece async for piece in store.open_read(path)])


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    """The content in pieces of 1 MB."""
    for start in range(0, len(content), 1_000_000):
        yield content[start : start + 1_000_000]


async def store_verified(store: ObjectStore) -> ObjectInfo:
    """Stores the content as the worker does once it knows its hash."""
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return await store.put(PATH, pieces(CONTENT), size_bytes=len(CONTENT), sha256=sha256)


class ObjectStoreContract:
    """What every object store promises. An adapter's tests inherit it, with a fixture `store` of their own."""

    @pytest.fixture
    async def http(self) -> AsyncIterator[aiohttp.ClientSession]:
        """A client that holds nothing but the URLs it is given."""
        async with aiohttp.ClientSession() as session:
            yield session

    async def test_what_was_put_is_read_back(
        self, store: ObjectStore, http: aiohttp.ClientSession, tmp_path: Path
    ) -> None:
        """The same bytes come back by URL, by open_read and by fetch."""
        sha256 = await put(store, PATH, CONTENT)
        async with http.get(get_url(store)) as response:
            assert (response.status, await response.read()) == (200, CONTENT)
        assert await content_of(store) == CONTENT
        info = await store.fetch(PATH, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == CONTENT
        assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
        assert info == await store.head(PATH)
        assert (info.path, info.size_bytes) == (PATH, len(CONTENT))
        assert info.sha256 in (None, sha256)
        assert abs(info.modified_at / 1000 - time.time()) < 60

    async def test_an_empty_object_is_an_object(self, store: ObjectStore, http: aiohttp.ClientSession) -> None:
        """Zero bytes are stored and read like any others."""
        await put(store, PATH, b"")
        assert await content_of(store) == b""
        async with http.get(get_url(store)) as response:
            assert (response.status, await response.read()) == (200, b"")

    async def test_missing_objects(self, store: ObjectStore, http: aiohttp.ClientSession, tmp_path: Path) -> None:
        """A missing object: head returns None, reads raise object.not_found and leave no file, delete succeeds."""
        assert await store.head(PATH) is None
        with pytest.raises(NotFound, match=r"object\.not_found"):
            await content_of(store)
        with pytest.raises(NotFound, match=r"object\.not_found"):
            await store.fetch(PATH, tmp_path / "copy")
        assert not (tmp_path / "copy").exists()
        await store.delete(PATH)
        async with http.get(get_url(store)) as response:
            assert response.status == 404

    async def test_putting_the_same_again_changes_nothing(
        self, store: ObjectStore, http: aiohttp.ClientSession
    ) -> None:
        """BuildKit's cache of a context is keyed by content and Last-Modified: a repeated upload leaves both."""
        await store_verified(store)
        before = await store.head(PATH)
        async with http.get(get_url(store)) as response:
            modified = response.headers["Last-Modified"]
        await store_verified(store)
        if store.capabilities.binds_uploads:
            await put(store, PATH, CONTENT)
        assert await store.head(PATH) == before
        async with http.get(get_url(store)) as response:
            assert response.headers["Last-Modified"] == modified

    async def test_verified_content_is_stored_without_an_upload(self, store: ObjectStore) -> None:
        """What a process of ours stores is there as announced; a second time changes nothing."""
        info = await store_verified(store)
        assert (info.path, info.size_bytes) == (PATH, len(CONTENT))
        assert await content_of(store) == CONTENT
        assert await store_verified(store) == info
        assert await store.head(PATH) == info

    @pytest.mark.parametrize("content", [b"other", b"right and more", b"righ", b""])
    async def test_other_content_than_announced_is_not_stored(self, store: ObjectStore, content: bytes) -> None:
        """Bytes that are not the announced ones leave nothing, nor does a source that breaks off."""
        sha256 = hashlib.sha256(b"right").hexdigest()
        with pytest.raises(InvalidArgument, match=r"object\.(size|sha256)_mismatch"):
            await store.put(PATH, pieces(content), size_bytes=5, sha256=sha256)

        async def broken() -> AsyncIterator[bytes]:
            yield b"ri"
            raise NotFound("object.not_found", "x")

        with pytest.raises(NotFound):
            await store.put(PATH, broken(), size_bytes=5, sha256=sha256)
        assert await store.list() == []

    async def test_delete_and_list(self, store: ObjectStore) -> None:
        """List shows what is below a folder, in order; what was deleted is gone and its neighbours stay."""
        paths = ["contexts/proj_a/one.tar.gz", "contexts/proj_a/two.tar.gz", "contexts/proj_b/one.tar.gz"]
        for path in reversed(paths):
            await put(store, path, path.encode())
        assert [info.path for info in await store.list()] == paths
        assert [info.path for info in await store.list("contexts/proj_a")] == paths[:2]
        assert await store.list("contexts/proj") == []
        await store.delete(paths[0])
        await store.delete(paths[0])
        assert [info.path for info in await store.list()] == paths[1:]
        assert await content_of(store, paths[2]) == paths[2].encode()

    @pytest.mark.parametrize(
        "path", ["../x", "a/../b", "/a", "a//b", "a/", "", ".a", "a/.tmp", "a b", "a\n", "ä", "x" * 600]
    )
    async def test_unsafe_paths_are_refused(self, store: ObjectStore, path: str) -> None:
        """No path leaves the store or needs quoting, whichever method takes it."""
        with pytest.raises(InvalidArgument, match=r"object\.path_invalid"):
            store.presign_get(path, ttl_s=1)
        with pytest.raises(InvalidArgument, match=r"object\.path_invalid"):
            store.presign_put(path, size_bytes=1, sha256="0" * 64, ttl_s=1)
        for work in (store.head(path), store.delete(path), content_of(store, path)):
            with pytest.raises(InvalidArgument, match=r"object\.path_invalid"):
                await work

    @pytest.mark.parametrize(
        "body", [b"other", b"right and more", b"righ", b""], ids=["content", "longer", "shorter", "empty"]
    )
    async def test_a_put_url_takes_its_content_only(
        self, store: ObjectStore, http: aiohttp.ClientSession, body: bytes
    ) -> None:
        """Another body than the signed one is refused and nothing is stored; of some stores, another size only."""
        sha256 = hashlib.sha256(b"right").hexdigest()
        to = store.presign_put(PATH, size_bytes=5, sha256=sha256, ttl_s=60, sends_headers=True)
        async with http.put(URL(to.url, encoded=True), data=body, headers=to.headers) as response:
            if len(body) == 5 and not (store.capabilities.binds_uploads or store.capabilities.checks_sha256):
                assert response.status == 200
                return
            assert response.status in (400, 403, 413)
        assert await store.head(PATH) is None
        assert await store.list() == []

    async def test_a_url_is_for_one_operation_on_one_path(
        self, store: ObjectStore, http: aiohttp.ClientSession
    ) -> None:
        """A URL for one thing opens nothing else, nor does a changed one."""
        await put(store, PATH, CONTENT)
        get, put_ = get_url(store), put_url(store, b"x", "contexts/proj_a/x")
        tampered = URL(str(get)[:-4] + ("0000" if not str(get).endswith("0000") else "1111"), encoded=True)
        for method, url in (
            ("PUT", get),
            ("GET", put_url(store, CONTENT)),
            ("GET", URL(str(get).replace("proj_a", "proj_b"), encoded=True)),
            ("GET", get.with_query(None)),
            ("GET", tampered),
            ("PUT", URL(str(put_).replace("proj_a/x", "proj_a/y"), encoded=True)),
        ):
            async with http.request(method, url, data=b"x" if method == "PUT" else None) as response:
                assert response.status in (400, 403), (method, url)

    async def test_range(self, store: ObjectStore, http: aiohttp.ClientSession) -> None:
        """One range is served as such: a download can be resumed."""
        await put(store, PATH, CONTENT)
        for header, expected in (
            ("bytes=0-0", CONTENT[:1]),
            ("bytes=100-1200000", CONTENT[100:1200001]),
            ("bytes=2559990-", CONTENT[-10:]),
            ("bytes=-10", CONTENT[-10:]),
            ("bytes=2559999-9999999", CONTENT[-1:]),
        ):
            async with http.get(get_url(store), headers={"Range": header}) as response:
                assert (response.status, await response.read()) == (206, expected), header
        async with http.get(get_url(store), headers={"Range": f"bytes={len(CONTENT)}-"}) as response:
            assert response.status == 416

    async def test_readers_see_whole_objects(self, store: ObjectStore) -> None:
        """While an object is replaced over and over, each read is one of the contents, entirely."""
        contents = [bytes([n]) * 1_500_000 for n in range(4)]
        await put(store, PATH, contents[0])
        done = asyncio.Event()

        async def write() -> None:
            for content in contents[1:]:
                await put(store, PATH, content)
            done.set()

        writer = asyncio.create_task(write())
        while not done.is_set():
            try:
                read = await content_of(store)
            except NotFound:  # replaced between look-up and open: allowed, a half object is not
                continue
            assert read in contents
        await writer
        assert await content_of(store) == contents[-1]

    async def test_a_store_that_works_says_so(self, store: ObjectStore) -> None:
        """A healthy store passes its check, closes, and may be closed twice."""
        await store.check()
        await store.close()
        await store.close()
