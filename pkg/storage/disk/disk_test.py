"""Promises of the Disk adapter alone."""

import asyncio
import errno
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from pkg.storage.disk import files
from pkg.storage.disk import http as disk_http
from pkg.storage.disk.store import DiskStore
from pkg.storage.disk.testing import KEY, served
from pkg.storage.signer import Grant, UrlSigner
from pkg.storage.testing import put
from pkg.testing.wait import WAIT_S

PATH = "contexts/proj_a/one.tar.gz"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    async with served(tmp_path / "objects") as disk:
        yield disk


async def raw(store: DiskStore, request: bytes) -> bytes:
    """One request as bytes, the answer as bytes: what no polite client would send."""
    url = URL(store.presign_get("x", ttl_s=1))
    assert url.host
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(request)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(4000), WAIT_S)
    writer.close()
    await writer.wait_closed()
    return answer


def temporary_files(store: DiskStore) -> list[Path]:
    return list((store.files.root / ".tmp").iterdir())


async def until(condition: Callable[[], object], timeout_s: float = WAIT_S) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - a file system sends no event
            await asyncio.sleep(0.01)


async def test_files_are_private(store: DiskStore) -> None:
    """Contexts are tenants' source code: no other user of the machine reads them."""
    await put(store, PATH, b"abc")
    for path in [store.files.root, *store.files.root.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert temporary_files(store) == []


async def test_expired_urls_say_so(tmp_path: Path) -> None:
    """403 with the reason and the next step, for both methods."""
    now = [time.time()]
    async with served(tmp_path / "objects", lambda: now[0]) as store, aiohttp.ClientSession() as http:
        await put(store, PATH, b"abc")
        get = URL(store.presign_get(PATH, ttl_s=60), encoded=True)
        now[0] += 59
        async with http.get(get) as response:
            assert response.status == 200
        now[0] += 3
        async with http.get(get) as response:
            assert response.status == 403
            assert "object.url_expired: this URL has expired. Ask for a new one" in await response.text()


async def test_a_lying_length_and_no_length(store: DiskStore) -> None:
    """A chunked body is counted while it comes: too long is refused as soon as it is."""
    sha256 = hashlib.sha256(b"x" * 10).hexdigest()
    url = URL(store.presign_put(PATH, size_bytes=10, sha256=sha256, ttl_s=60).url, encoded=True)

    async def body(pieces: int) -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield b"x" * 5

    async with aiohttp.ClientSession() as http:
        async with http.put(url, data=body(3)) as response:
            assert response.status == 400
            assert "object.size_mismatch" in await response.text()
        async with http.put(url, data=body(2)) as response:
            assert response.status == 200
    assert temporary_files(store) == []


async def test_a_client_that_goes_away_leaves_nothing(store: DiskStore) -> None:
    """A connection cut in the middle of a body: no object, no temporary file."""
    url = URL(store.presign_put(PATH, size_bytes=5_000_000, sha256="0" * 64, ttl_s=60).url, encoded=True)
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        f"PUT {url.raw_path_qs} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n".encode() + b"x" * 2_500_000
    )
    await writer.drain()
    await until(lambda: temporary_files(store))
    writer.close()
    await until(lambda: not temporary_files(store))
    assert await store.list() == []


async def test_a_client_that_goes_away_at_once_leaves_nothing(
    store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection cut while the temporary file is being made: it is removed, and its descriptor closed."""
    begun, go_on = threading.Event(), threading.Event()
    made: list[files.Upload] = []

    class SlowUpload(files.Upload):
        def __init__(self, root: Path, path: str, size_bytes: int) -> None:
            begun.set()
            assert go_on.wait(5)
            super().__init__(root, path, size_bytes)
            made.append(self)

    monkeypatch.setattr("pkg.storage.disk.async_files.Upload", SlowUpload)
    making = asyncio.create_task(store.files.start_upload(PATH, 3))
    await until(begun.is_set)
    making.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await making
    await until(lambda: made)
    assert made[0]._fd == -1
    assert temporary_files(store) == []


async def test_a_body_that_is_not_what_it_says(store: DiskStore) -> None:
    """A damaged Content-Encoding is a refusal with the next step, and nothing stays."""
    url = URL(store.presign_put(PATH, size_bytes=3, sha256="0" * 64, ttl_s=60).url, encoded=True)
    head = "HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\n"
    answer = await raw(store, f"PUT {url.raw_path_qs} {head}abc".encode())
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"without Content-Encoding" in answer
    assert temporary_files(store) == []


async def test_no_inode_is_left(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes no more files is full, too: at the temporary file, and at the object's folder."""
    data = b"abc"
    url = URL(
        store.presign_put(PATH, size_bytes=3, sha256=hashlib.sha256(data).hexdigest(), ttl_s=60).url, encoded=True
    )

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("os.open", "_make_folders"):
        with monkeypatch.context() as patch:
            patch.setattr(f"pkg.storage.disk.files.{name}", refuse)
            async with aiohttp.ClientSession() as http, http.put(url, data=data) as response:
                assert response.status == 507, name
                assert "object.disk_full" in await response.text()
        assert temporary_files(store) == []


async def test_the_disk_is_full(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """507 with numbers and the next step, before the body is stored."""
    monkeypatch.setattr(files, "RESERVE_BYTES", 1 << 60)
    url = URL(
        store.presign_put(PATH, size_bytes=3, sha256=hashlib.sha256(b"abc").hexdigest(), ttl_s=60).url, encoded=True
    )
    async with aiohttp.ClientSession() as http, http.put(url, data=b"abc") as response:
        assert response.status == 507
        assert "object.disk_full" in await response.text()
    assert temporary_files(store) == []


async def test_the_disk_fills_while_writing(store: DiskStore) -> None:
    """ENOSPC in the middle is the same 507, and the half file is removed."""
    upload = await store.files.start_upload(PATH, 3)
    os.close(upload._fd)
    upload._fd = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(Exception, match=r"object\.disk_full"):
        await store.files.run(upload.write, b"abc")
    await store.files.run(upload.abort)
    assert temporary_files(store) == []


async def test_expect_continue_is_refused_before_the_body(store: DiskStore) -> None:
    """curl asks before it sends a large body: a bad URL costs no transfer, a good one is accepted."""
    sha256 = hashlib.sha256(b"abc").hexdigest()
    url = URL(store.presign_put(PATH, size_bytes=3, sha256=sha256, ttl_s=60).url, encoded=True)
    head = "HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    assert (await raw(store, f"PUT {url.raw_path}?signature=0 {head}".encode())).startswith(b"HTTP/1.1 403")
    assert (await raw(store, f"PUT {url.raw_path_qs} {head}".encode())).startswith(b"HTTP/1.1 100 Continue")


@pytest.mark.parametrize(
    "path", ["/objects/%2e%2e/%2e%2e/etc/passwd", "/objects/../../etc/passwd", "/objects/a%2f..%2fb", "/objects/%00"]
)
async def test_signed_traversal_is_refused(store: DiskStore, path: str) -> None:
    """Even with a valid signature for it, a path outside answers 400, 403 or 404 and touches nothing."""
    decoded = URL(path, encoded=True).path.removeprefix("/objects/")
    query = store.signer.query(Grant("GET", decoded), 60)
    answer = await raw(store, f"GET {path}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] in (b"400", b"403", b"404"), answer


async def test_what_buildkit_asks(store: DiskStore) -> None:
    """HEAD and GET with every ETag an old BuildKit knows, kilobytes of them: the object, and no ETag to remember."""
    sha256 = await put(store, PATH, b"abc" * 1000)
    url = URL(store.presign_get(PATH, ttl_s=60), encoded=True)
    known = ", ".join(f'"{n:064x}"' for n in range(2000)) + f', "{sha256}"'
    async with aiohttp.ClientSession() as http:
        for method in ("HEAD", "GET"):
            async with http.request(method, url, headers={"If-None-Match": known}) as response:
                assert (response.status, response.headers["Content-Length"]) == (200, "3000")
                assert "ETag" not in response.headers
                assert response.headers["Last-Modified"].endswith("GMT")


async def test_an_upload_has_its_time(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends single bytes, never idle for long, is disconnected in the end; no file stays."""
    monkeypatch.setattr(disk_http, "GRACE_S", 0.5)
    size = 100 << 20  # at the slowest that is permitted, this would take an hour
    url = URL(store.presign_put(PATH, sha256="0" * 64, size_bytes=size, ttl_s=60).url, encoded=True)
    assert url.host
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"PUT {url.raw_path_qs} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
    answering = asyncio.create_task(reader.read(4000))
    for _ in range(1000):
        writer.write(b"x")
        await asyncio.wait({answering}, timeout=0.1)
        if answering.done():
            break
    answer = await answering
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"object.upload_too_slow" in answer
    await until(lambda: temporary_files(store) == [])


async def test_half_files_of_killed_processes_are_swept(tmp_path: Path) -> None:
    """What a crash left in .tmp goes at a later start; an upload under way in another process stays."""
    store = DiskStore(tmp_path, UrlSigner(KEY), "http://127.0.0.1:1")
    await store.close()
    old, young = tmp_path / ".tmp" / "old", tmp_path / ".tmp" / "young"
    for file in (old, young):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    await DiskStore(tmp_path, UrlSigner(KEY), "http://127.0.0.1:1").close()
    assert (old.exists(), young.exists()) == (False, True)


async def test_a_crash_between_rename_and_removal_shows_the_new_object(store: DiskStore) -> None:
    """Two files of one object: the newer one is the object."""
    await put(store, PATH, b"old")
    newer = store.files.root / PATH / f"@{hashlib.sha256(b'new').hexdigest()}"
    newer.write_bytes(b"new")
    os.utime(newer, (time.time() + 5, time.time() + 5))
    assert b"".join([piece async for piece in store.open_read(PATH)]) == b"new"


def test_short_keys_are_refused() -> None:
    """A signing key that can be guessed is no key."""
    with pytest.raises(ValueError, match="at least 32"):
        UrlSigner(b"short")


async def test_long_names_of_the_proof_are_not_parsed(store: DiskStore) -> None:
    """Query values of any size or alphabet end in 403, not in an exception."""
    url = URL(store.presign_get(PATH, ttl_s=60), encoded=True)
    async with aiohttp.ClientSession() as http:
        for query in (
            {"expires": "9" * 5000},
            {"expires": "٣", "signature": "ä"},
            {"size": "9" * 5000, "expires": "1"},
        ):
            async with http.get(url.with_query(query)) as response:
                assert response.status == 403, query
