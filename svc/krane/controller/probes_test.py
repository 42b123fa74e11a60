"""Probes, against real sockets."""

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from sealift import __version__
from svc.krane.controller.probes import (
    FIRST_ANSWERED_INTERVAL_S,
    FIRST_CONNECT_S,
    FIRST_INTERVAL_S,
    FIRST_MAX_CONNECT_S,
    FIRST_MAX_INTERVAL_S,
    FIRST_SECONDS,
    ProbeResult,
    Schedule,
    Target,
    probe,
)

HOSTS = ("own.example:7480", "app.example:7480")
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(answer: Answer) -> AsyncIterator[int]:
    under_way: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way.add(asyncio.create_task(handle(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


def target(port: int, path: str = "/up", timeout_s: float = 2.0) -> Target:
    return Target("127.0.0.1", port, path, HOSTS, timeout_s, connect_s=timeout_s)


def saying(text: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if text:
            await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()

    return answer


@pytest.mark.parametrize(
    ("status", "is_ok"), [(200, True), (204, True), (301, True), (399, True), (404, False), (422, False), (500, False)]
)
async def test_the_status_decides(status: int, is_ok: bool) -> None:
    # Promise: 200..399 is healthy, redirects are not followed, and the status is in the text.
    text = f"HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".encode()
    async with served(saying(text)) as port:
        result = await probe(target(port))
    said = "" if is_ok else "; 200 to 399 would be healthy"
    assert (result.is_ok, result.text) == (is_ok, f"GET /up answered {status}{said}")


async def test_the_app_sees_its_own_hostname() -> None:
    # Promise: apps that check the Host header can be probed.
    seen = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with served(answer) as port:
        assert (await probe(target(port, "/up?x=1"))).is_ok
    assert b"Host: own.example:7480\r\n" in seen[0]
    assert f"User-Agent: sealift-probe/{__version__}\r\n".encode() in seen[0]
    assert len(seen) == 1
    assert seen[0].startswith(b"GET /up?x=1 HTTP/1.1")


@pytest.mark.parametrize("status", [400, 403, 404, 421])
async def test_an_app_that_knows_only_its_main_host_is_healthy(status: int) -> None:
    # Promise: a list of allowed hosts that names the environment's address alone does not fail the deploy.
    seen = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        code = 200 if b"Host: app.example:7480" in head else status
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % code)

    async with served(answer) as port:
        result = await probe(target(port))
    assert (result.is_ok, result.host, len(seen)) == (True, "app.example:7480", 2)


async def test_refused_hosts_are_named() -> None:
    # Promise: the reason shows what to allow.
    async with served(saying(b"HTTP/1.1 400 X\r\nContent-Length: 0\r\n\r\n")) as port:
        result = await probe(target(port))
    said = "GET /up answered 400 to Host own.example:7480 and app.example:7480; 200 to 399 would be healthy"
    assert result.text == said


async def test_an_endless_body_is_not_waited_for() -> None:
    # Promise: the headers are the answer.
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx")
        await reader.read()

    async with served(answer) as port:
        assert (await probe(target(port))).is_ok


async def test_silence_is_bounded() -> None:
    # Promise: an app that hangs is unhealthy after the timeout.
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with served(answer) as port:
        result = await probe(target(port, timeout_s=0.1))
    assert result.text == "GET /up: no answer within 100 ms"


@pytest.mark.parametrize(
    ("said", "words"),
    [(b"", "closed the connection without an answer"), (b"SSH-2.0-x\r\n\r\n", "the answer is not HTTP")],
)
async def test_no_http_is_said_so(said: bytes, words: str) -> None:
    # Promise: the reason says what is there instead.
    async with served(saying(said)) as port:
        result = await probe(target(port))
    assert not result.is_ok
    assert words in result.text


@pytest.mark.parametrize("count", [3, 10_000_000])
async def test_interim_answers_are_bounded(count: int) -> None:
    """A few are passed over, as HTTP asks; an app that sends them for ever takes little of krane's time."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(count):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
        writer.write(b"HTTP/1.1 204 X\r\n\r\n")

    async with served(answer) as port:
        result = await probe(target(port, timeout_s=60))
    assert result.is_ok is (count == 3)
    assert result.is_ok or result.text == (
        "GET /up: the app sent 20 interim answers, such as 100 Continue, and went on so"
    )


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 20_000, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 99_999]
)
async def test_a_head_without_an_end_is_no_answer(head: bytes) -> None:
    """It is read up to what Envoy takes of an app."""
    async with served(saying(head)) as port:
        result = await probe(target(port))
    assert result.text == "GET /up: the answer is not HTTP"


async def test_a_path_is_encoded_once() -> None:
    """Letters beyond ASCII are encoded, what is encoded stays."""
    seen = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readline())
        writer.write(b"HTTP/1.1 204 X\r\n\r\n")

    async with served(answer) as port:
        assert (await probe(target(port, "/h\u00e4%20lth?a=[b]&c=~"))).is_ok
    assert seen == [b"GET /h%C3%A4%20lth?a=[b]&c=~ HTTP/1.1\r\n"]


async def test_refused_and_accepted_connections() -> None:
    # Promise: without a path a TCP connection is enough; a refused one is distinguished from silence.
    async with served(saying(b"")) as port:
        assert (await probe(target(port, ""))).text == f"port {port} accepts connections"
    for path in ("", "/up"):
        result = await probe(target(port, path))
        assert (result.is_ok, result.is_refused) == (False, True)
        assert result.text == f"connection refused on port {port}"


FAILED, GOOD = ProbeResult(False, "refused", is_refused=True), ProbeResult(True, "answered", is_answered=True)


def test_the_schedule_is_fast_first_then_calm() -> None:
    # Promise: a fast start is seen at once; a slow one is not hammered; a failing live one is confirmed soon.
    now = 0.0
    schedule = Schedule(1.0, clock=lambda: now)
    assert schedule.connect_s(2.0) == FIRST_CONNECT_S
    assert schedule.next_s(was_healthy=False, result=FAILED) == FIRST_INTERVAL_S
    for _ in range(8):
        schedule.next_s(was_healthy=False, result=FAILED)
    assert schedule.next_s(was_healthy=False, result=FAILED) == FIRST_MAX_INTERVAL_S
    assert schedule.connect_s(2.0) == FIRST_MAX_CONNECT_S
    now = FIRST_SECONDS
    delays = [schedule.next_s(was_healthy=False, result=FAILED) for _ in range(12)]
    assert delays == sorted(delays)
    assert delays[-1] == 1.0
    assert schedule.connect_s(2.0) == 2.0
    assert schedule.next_s(was_healthy=True, result=GOOD) == 1.0
    assert schedule.next_s(was_healthy=True, result=FAILED) == 0.25
    assert Schedule(0.1, clock=lambda: now).next_s(was_healthy=True, result=FAILED) == 0.1


def test_an_app_that_answers_is_asked_less_often() -> None:
    # Promise: an app that logs each request is not flooded while it gets ready: some 10 times in 5 s, not 100.
    schedule = Schedule(1.0, clock=lambda: 0.0)
    answered = ProbeResult(False, "answered 503", is_answered=True)
    delays = [schedule.next_s(was_healthy=False, result=answered) for _ in range(9)]
    assert (delays[0], delays[-1]) == (FIRST_ANSWERED_INTERVAL_S, 1.0)
    assert sum(delays) > 4


@pytest.mark.parametrize("path", ["", "/"])
async def test_without_file_descriptors_nothing_is_known_of_the_app(path: str) -> None:
    """A krane that has used up its own must not call a good app dead."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        result = await probe(Target("127.0.0.1", port, path, ("app.example",), 2, 2))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        server.close()
        await server.wait_closed()
    assert result.is_unasked
    assert not result.is_ok
    assert "Too many open files" in result.text
