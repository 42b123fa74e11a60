"""A server that is none of S3, or lies: each call ends in time, with words, and with no key of ours in them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
from aiohttp import web

from pkg.config import Secret
from pkg.errors import SealiftError, Unavailable
from pkg.storage.s3 import calls
from pkg.storage.s3.config import S3Config
from pkg.storage.s3.store import S3Store

Answer: TypeAlias = Callable[[web.Request], web.StreamResponse]
DATE = "Sat, 28 Nov 2026 10:00:00 GMT"
SECRET = "hunter2-secret"


def xml(content: str) -> Answer:
    """A listing."""
    text = f'<?xml version="1.0"?><ListBucketResult>{content}</ListBucketResult>'
    return lambda request: web.Response(text=text, content_type="application/xml")


def of(**given: Any) -> Answer:
    """The same answer to every request."""
    return lambda request: web.Response(**given)


LIES: dict[str, Answer] = {
    "a web page": of(text="<html>hello</html>", content_type="text/html"),
    "a broken page": of(text="<html><body>hello", content_type="text/html"),
    "JSON": of(text="{}", content_type="application/json"),
    "nothing": of(),
    "no date": of(headers={"ETag": '"x"'}, body=b"abc"),
    "no date that is one": of(headers={"ETag": '"x"', "Last-Modified": "yesterday"}, body=b"abc"),
    "a far date": of(headers={"ETag": '"x"', "Last-Modified": "Sat, 28 Nov 99999 10:00:00 GMT"}, body=b"abc"),
    "no next page": xml("<IsTruncated>true</IsTruncated>"),
    "the same page": xml("<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"),
    "half an object": xml("<IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents>"),
    "a size that is none": xml("<IsTruncated>false</IsTruncated><Contents><Size>many</Size></Contents>"),
    "another server": of(status=307, headers={"Location": "http://169.254.169.254/latest/meta-data"}),
    "another region": of(status=301, headers={"Location": "http://127.0.0.1:1/", "x-amz-bucket-region": "e/x"}),
    "a fault": of(status=500, text="boom"),
    "an error as success": of(text="<Error><Code>X</Code></Error>", content_type="application/xml"),
}


@asynccontextmanager
async def lying(answer: Answer) -> AsyncIterator[S3Store]:
    """A store at a server that answers everything so."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return answer(request)

    async with _served(handle) as url:
        opened = S3Config(url=url, bucket="b01", access_key_id="AKID", access_key_secret=Secret(SECRET)).open()
        try:
            yield opened
        finally:
            await opened.close()


@asynccontextmanager
async def _served(handle: Any) -> AsyncIterator[str]:
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def pieces() -> AsyncIterator[bytes]:
    yield b"abc"


async def read(store: S3Store) -> list[bytes]:
    return [piece async for piece in store.open_read("contexts/a")]


CALLS: dict[str, Callable[[S3Store], Any]] = {
    "prepare": lambda store: store.prepare(),
    "check": lambda store: store.check(),
    "head": lambda store: store.head("contexts/a"),
    "read": read,
    "put": lambda store: store.put("a", pieces(), size_bytes=3, sha256=hashlib.sha256(b"abc").hexdigest()),
    "list": lambda store: store.list(),
    "delete": lambda store: store.delete("contexts/a"),
}


# boto3 leaves the connection of an answer that it can't read to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("call", CALLS)
async def test_every_answer_has_words(lie: str, call: str) -> None:
    """Promise: whatever comes, a call succeeds or fails with an error of ours."""
    said = ""
    async with lying(LIES[lie]) as store:
        try:
            await CALLS[call](store)
        except SealiftError as error:
            said = error.message
    assert SECRET not in said


@pytest.mark.parametrize("lie", ["a web page", "JSON", "nothing", "an error as success", "another server"])
async def test_what_is_no_s3_server_is_told_at_the_start(lie: str) -> None:
    """Promise: a URL that leads to another kind of server is no store, although it answers with 200."""
    async with lying(LIES[lie]) as store:
        with pytest.raises(Unavailable, match=r"set \[objects\] url|Is \[objects\] url that of an S3 server"):
            await store.prepare()


async def test_a_server_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: bytes that drip in do not hold a caller for longer than a slow network would."""
    monkeypatch.setattr(calls, "PIECE_TIMEOUT_S", 0.5)
    ends = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": '"x"', "Last-Modified": DATE, "Content-Length": "1000000"})
        await response.prepare(request)
        while not ends.is_set():
            await response.write(b"x")
            await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.close()  # else the client's thread waits for the rest
        return response

    async with _served(drip) as url:
        store = S3Config(url=url, bucket="b01", access_key_id="AKID", access_key_secret=Secret(SECRET)).open()
        with pytest.raises(Unavailable, match=r"did not end its answer within 0 s|did not end its answer within 1 s"):
            await read(store)
        ends.set()
        await store.close()
