"""Requests are bounded and read what real servers send."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pkg import local_http
from pkg.local_http import client


@asynccontextmanager
async def server(tmp_path: Path, answer: bytes) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await client._drop(writer)

    path = tmp_path / "s.sock"
    async with await asyncio.start_unix_server(serve, path):
        yield f"unix://{path}"


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n',
        b'HTTP/1.0 200 OK\r\n\r\n{"a":1}',
    ],
)
async def test_bodies_of_every_framing(tmp_path: Path, answer: bytes) -> None:
    """Length, chunks and close: engine, Restate and Envoy each use another."""
    async with server(tmp_path, answer) as address:
        assert (await local_http.request(address, "/")).json() == {"a": 1}
        assert await local_http.answers(address, "/")


@pytest.mark.parametrize("answer", [b"SSH-2.0\r\n\r\n", b"", b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"])
async def test_other_answers_are_not_health(tmp_path: Path, answer: bytes) -> None:
    """Something else on the port, or an error, is no health."""
    async with server(tmp_path, answer) as address:
        assert not await local_http.answers(address, "/")


async def test_nobody_there_and_silence_are_bounded(tmp_path: Path) -> None:
    """A process that hangs does not hang the supervisor."""
    assert not await local_http.answers(f"unix://{tmp_path}/none.sock", "/")
    assert not await local_http.accepts(f"unix://{tmp_path}/none.sock")
    silence: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] = _hang
    async with await asyncio.start_unix_server(silence, tmp_path / "h.sock"):
        assert not await local_http.answers(f"unix://{tmp_path}/h.sock", "/", timeout_s=0.1)
        assert await local_http.accepts(f"unix://{tmp_path}/h.sock")


async def _hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    await client._drop(writer)
