"""A daemon gets the archive that was checked, or none."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from pkg.builders.context_stream import CHUNK_BYTES, ContextStream
from pkg.builders.testing import context_at
from pkg.builds.failures import BuilderUnavailable, FailureKind

ARCHIVE = bytes(range(256)) * (CHUNK_BYTES // 64)


@asynccontextmanager
async def store(answer: web.Response) -> AsyncIterator[str]:
    """An object store that answers everything so; yields an object's URL."""

    async def handle(request: web.Request) -> web.Response:
        return answer

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/contexts/a?sig=hunter2"
    finally:
        await runner.cleanup()


async def read(url: str, sha256: str) -> tuple[bytes, BuilderUnavailable | None]:
    """What came before the end, and the failure."""
    stream, got = ContextStream(context_at(url), sha256), b""
    with suppress(BuilderUnavailable):
        async for chunk in stream.open():
            got += chunk
    return got, stream.failure


async def test_the_archive_that_was_checked() -> None:
    """Promise: it arrives whole."""
    async with store(web.Response(body=ARCHIVE)) as url:
        assert await read(url, hashlib.sha256(ARCHIVE).hexdigest()) == (ARCHIVE, None)


@pytest.mark.parametrize("sent", [ARCHIVE[:-1], ARCHIVE + b"x", b"x" + ARCHIVE[1:], b""])
async def test_another_archive(sent: bytes) -> None:
    """Promise: what a store, or someone on the way to it, has changed since the check is not built."""
    async with store(web.Response(body=sent)) as url:
        got, error = await read(url, hashlib.sha256(ARCHIVE).hexdigest())
    assert error is not None
    assert error.kind is FailureKind.CONTEXT_UNAVAILABLE
    assert "another content" in error.message
    assert len(got) < max(1, len(sent))


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_a_store_that_leads_elsewhere(status: int) -> None:
    """Promise: the worker asks no other server than the store, and shows no signature."""
    async with (
        store(web.Response(body=b"credentials of the machine")) as inside,
        store(web.Response(status=status, headers={"Location": inside})) as url,
    ):
        got, error = await read(url, "")
    assert got == b""
    assert error is not None
    assert f"status {status}" in error.message
    assert "hunter2" not in error.message
