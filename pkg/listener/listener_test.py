"""What strangers may hold of a listener, on real sockets."""

import asyncio
import contextlib
import logging
import os
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from pkg.listener import Limits, Listener
from pkg.testing.wait import WAIT_S


@contextlib.asynccontextmanager
async def serving(limits: Limits) -> AsyncIterator[tuple[Listener, int]]:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_route("*", "/", hello)
    sock = socket.create_server(("127.0.0.1", 0))
    listener = Listener("test", sock, limits)
    app.middlewares.append(listener.middleware)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=30.0, logger=listener.logger)
    await runner.setup()
    assert runner.server
    task = asyncio.create_task(listener.serve(runner.server))
    try:
        yield listener, sock.getsockname()[1]
    finally:
        task.cancel()
        await asyncio.wait({task})
        await runner.cleanup()


async def get(port: int) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/") as answer:
        return f"{answer.status} {(await answer.text()).strip()}"


async def test_half_open_connections_are_ended() -> None:
    """Promise: who sends no head, or half of one, is cut off; who is slower than that between two requests is not."""
    async with serving(Limits(head_s=0.3)) as (listener, port):
        silent = await asyncio.open_connection("127.0.0.1", port)
        half = await asyncio.open_connection("127.0.0.1", port)
        half[1].write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        kept = await asyncio.open_connection("127.0.0.1", port)
        kept[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await kept[0].readuntil(b"hello")
        async with asyncio.timeout(WAIT_S):
            for reader, _ in (silent, half):
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
        kept[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await kept[0].readuntil(b"hello")
        assert listener.refused == {"head": 2}
        for _, writer in (silent, half, kept):
            writer.close()


@pytest.mark.parametrize(("limits", "reason"), [(Limits(connections=5), "limit"), (Limits(per_peer=5), "peer")])
async def test_over_a_limit_the_answer_is_503(limits: Limits, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """Promise: a connection over the limit is answered and closed, logged once, and later ones are served again."""
    async with serving(limits) as (listener, port):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        for _ in range(20):
            assert (await get(port)).startswith("503 Too many connections")
        assert listener.refused[reason] == 20
        assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1
        for _, writer in held:
            writer.close()
        async with asyncio.timeout(WAIT_S):
            while not (await get(port)).startswith("200"):  # noqa: ASYNC110 - of the listener's own time
                await asyncio.sleep(0.05)


async def test_a_body_that_cannot_be_read_floods_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Promise: anybody can send one, so that it is counted, and logged once, without a traceback and its bytes."""
    async with serving(Limits()) as (listener, port):
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n"
            writer.write(head)
            await reader.readuntil(b"hello")
            writer.write(b"no gzip!!")
            async with asyncio.timeout(WAIT_S):
                await reader.read()
            writer.close()
        assert listener.refused["malformed"] == 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert not caplog.records[0].exc_info


async def test_out_of_file_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    """Promise: with no descriptor left the listener waits and says so once; it takes connections as soon as it can."""
    async with serving(Limits()) as (_, port):
        assert await get(port) == "200 hello"
        client = socket.socket()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = len(list(Path("/proc/self/fd").iterdir()))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
        held = []
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.dup(client.fileno()))
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(WAIT_S):
                while not caplog.records:  # noqa: ASYNC110 - no event announces it
                    await asyncio.sleep(0.01)
            await asyncio.sleep(1)  # several rounds of the listener
        finally:
            for fd in held:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 9999), WAIT_S)
        assert answer.startswith(b"HTTP/1.1 200")
        client.close()
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1


def test_the_limit_of_descriptors_is_raised() -> None:
    """Promise: a service that a shell with 256 descriptors starts has as many as it may have."""
    script = (
        "import resource; h = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, h)); from pkg.listener import raise_descriptor_limit as r; "
        "print(r() == min(65536, h))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout == "True\n"
