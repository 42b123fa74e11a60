"""What an app answers is what the client gets."""

import asyncio

import pytest

from pkg.testing.wait import WAIT_S
from svc.krane.ingress.testing import until
from svc.krane.ingress.testing_raw import Call, CloseConnection, Raw

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMPTY = b"Content-Length: 0\r\n\r\n"


async def test_headers_pass_in_their_case_and_number(raw: Raw) -> None:
    """500 headers, cookies each on their own, odd bytes and names, an old Date, the app's own Server and ids."""
    own = [
        (b"Set-Cookie", b"a=1; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT"),
        (b"Set-Cookie", b"b=2"),
        (b"Server", b"app/1"),
        (b"Date", b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (b"Via", b"1.0 app"),
        (b"X-Request-Id", b"of-the-app"),
        (b"x_under_score", b"1"),
        (b"ETag", b'W/"x"'),
        (b"X-Empty", b""),
        (b"Content-Disposition", 'attachment; filename="přehled.pdf"'.encode()),
        (b"X-Forwarded-For", b"1.2.3.4"),
        *((b"X-Number-%d" % n, b"%d" % n) for n in range(500)),
        (b"Content-Length", b"0"),
    ]
    raw.app.on("/many", b"HTTP/1.1 200 OK\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in own) + b"\r\n")
    answer = await raw.ask("/many")
    assert answer.headers == [*own, (b"x-sealift-deployment", b"dep_a")]


async def test_only_three_headers_are_added(raw: Raw) -> None:
    """Which deployment answered, the request's id, and the date that HTTP wants; nothing of Envoy's own."""
    raw.app.on("/bare", b"HTTP/1.1 200 OK\r\n" + EMPTY)
    names = {name for name, _ in (await raw.ask("/bare")).headers}
    assert names == {b"Content-Length", b"x-sealift-deployment", b"x-request-id", b"date"}


async def test_one_large_header_passes(raw: Raw) -> None:
    """200 KiB of a policy or a token."""
    raw.app.on("/large", b"HTTP/1.1 200 OK\r\nX-Large: " + b"a" * 200 * 1024 + b"\r\n" + EMPTY)
    assert (await raw.ask("/large")).one("x-large") == b"a" * 200 * 1024


@pytest.mark.parametrize(
    "status", ["200 OK", "200 V\u0161echno dob\u0159e", "299 Odd", "404 Nope", "426 Old", "503 Down", "599 Z", "999 Z"]
)
async def test_status_and_reason_pass(raw: Raw, status: str) -> None:
    """Errors are the app's own; no text of ours replaces them."""
    line = f"HTTP/1.1 {status}".encode()
    raw.app.on("/status", line + b"\r\nContent-Length: 3\r\n\r\nown")
    answer = await raw.ask("/status")
    assert (answer.start, answer.body) == (line, b"own")


async def test_bodies_that_are_none_keep_their_length(raw: Raw) -> None:
    """HEAD and 304 state the length of what they leave out; 204 has none."""
    raw.app.on("/head", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
    raw.app.on("/304", b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 10\r\n\r\n')
    raw.app.on("/204", b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (await raw.ask("/head", method="HEAD")).one("content-length") == b"1234"
    assert (await raw.ask("/304")).one("content-length") == b"10"
    answer = await raw.ask("/204")
    assert (answer.status, answer.all("content-length"), answer.all("transfer-encoding")) == (204, [], [])


async def test_interim_answers_and_trailers_pass(raw: Raw) -> None:
    """103 comes first (and the first only, docs/limits.md), trailers come last."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    chunked = b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\n\r\n"
    raw.app.on("/full", hints + b"HTTP/1.1 200 OK\r\n" + chunked)
    answer = await raw.ask("/full")
    assert [one.status for one in answer.interim] == [103]
    assert answer.interim[0].one("link") == b"</a.css>; rel=preload"
    assert (answer.body, answer.trailers) == (b"ok", [(b"x-sum", b"42")])


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("bare line feeds", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        ("no reason", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
        ("chunk extensions", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n"),
        ("upper case", b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ],
)
async def test_unusual_forms_are_understood(raw: Raw, name: str, answer: bytes) -> None:
    """What browsers accept from such an app, they get through us, too."""
    raw.app.on("/form", answer)
    assert (await raw.ask("/form")).body == b"ok", name


async def test_a_stream_is_flushed_at_once(raw: Raw) -> None:
    """Server-sent events arrive as they are made, not when a buffer is full."""
    go_on = asyncio.Event()

    async def events(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await call.send(b"9\r\ndata: 1\n\n\r\n")
        await go_on.wait()
        await call.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    raw.app.on("/events", events)
    client = await raw.connect()
    await client.send(raw.request("/events"))
    async with asyncio.timeout(WAIT_S):
        await client.reader.readuntil(b"data: 1\n\n\r\n")
        go_on.set()
        await client.reader.readuntil(b"data: 2\n\n\r\n")
    client.close()


async def test_an_answer_without_length_ends_with_its_connection(raw: Raw) -> None:
    """An app of HTTP/1.0's kind is served, its body whole."""

    async def old(call: Call) -> None:
        await call.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold style")
        raise CloseConnection

    raw.app.on("/old", old)
    for version in ("1.0", "1.1"):
        answer = await raw.ask("/old", version=version)
        assert (answer.status, answer.body, answer.is_cut) == (200, b"old style", False)


@pytest.mark.parametrize(
    "frame", [b"Content-Length: 100\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]
)
async def test_half_an_answer_is_seen_to_be_half(raw: Raw, frame: bytes) -> None:
    """A download that broke off is never taken for a whole one."""

    async def cut(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\n" + frame)
        raise CloseConnection

    raw.app.on("/cut", cut)
    answer = await raw.ask("/cut")
    assert (answer.status, answer.body, answer.is_cut) == (200, b"abc", True)


async def test_an_answer_before_the_end_of_the_body_arrives(raw: Raw) -> None:
    """413 of an app reaches a client that is still sending."""

    async def refuse(call: Call) -> None:
        await call.send(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
        while await call.reader.read(65_536):  # a close over unread bytes may take the answer back: TCP resets then
            pass
        raise CloseConnection

    raw.app.on("/early", refuse, early=True)
    client = await raw.connect()
    await client.send(raw.request("/early", b"Content-Length: 9000000", method="POST") + b"a" * 500_000)
    answer = await client.answer()
    assert (answer.status, answer.body) == (413, b"big")
    client.close()


async def test_a_websocket_carries_bytes_both_ways(raw: Raw) -> None:
    """Whatever comes after 101 is not looked at; the app's refusal passes with its text."""

    async def echo(call: Call) -> None:
        await call.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while data := await call.reader.read(1024):
            await call.send(data)

    raw.app.on("/ws", echo)
    raw.app.on("/ws-no", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nown")
    upgrade = (b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket", b"Sec-WebSocket-Key: x")
    client = await raw.connect()
    await client.send(raw.request("/ws", *upgrade))
    assert (await client.answer()).status == 101
    assert raw.app.last.one("sec-websocket-key") == b"x"
    for data in (b"\x00\xff\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        await client.send(data)
        assert await asyncio.wait_for(client.reader.readexactly(len(data)), WAIT_S) == data
    client.close()
    answer = await raw.ask("/ws-no", *upgrade)
    assert (answer.status, answer.body) == (403, b"own")


async def test_more_streams_than_envoys_defaults_allow_are_open_at_once(raw: Raw) -> None:
    """Envoy's own circuit breakers end at 1,024 requests; an app of event streams has more."""
    held = asyncio.Event()

    async def hold(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await held.wait()
        await call.send(b"ok")

    raw.app.on("/hold", hold)
    before = len(raw.app.requests)
    clients = [await raw.connect() for _ in range(1200)]
    for client in clients:
        await client.send(raw.request("/hold"))
    await until(lambda: len(raw.app.requests) == before + 1200, "all streams are open", 30)
    held.set()
    assert {(await client.answer()).body for client in clients} == {b"ok"}
    for client in clients:
        client.close()
