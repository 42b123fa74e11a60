"""HTTP/2 at a real Envoy: what HTTP/1.1 promises holds there, too, and what only HTTP/2 can do wrong is bounded."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from h2.errors import ErrorCodes
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from pkg.testing.wait import WAIT_S
from svc.krane.ingress.listener import MAX_STREAMS
from svc.krane.ingress.port import Applied
from svc.krane.ingress.testing import TRUSTED, IngressHarness, get, running_ingress
from svc.krane.ingress.testing_raw import Call, Message, RawApp, raw_app
from svc.krane.ingress.testing_tls import Http2Answer, Http2Client, http2
from svc.krane.testing.certificates import by_id, certificate
from svc.krane.testing.routes import routes_to

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "a.example"
MOST_FRAMES = 400_000
PROXY = TRUSTED[0].partition("/")[0]
GET = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/")]
POST = [(":method", "POST"), *GET[1:]]


@dataclass
class Served:
    """An app that is served by HTTP/2."""

    up: IngressHarness
    app: RawApp

    @property
    def port(self) -> int:
        return self.up.tls_port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def it() -> AsyncIterator[Served]:
    with tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True) as name:
        async with running_ingress(Path(name)) as up, raw_app() as app:
            up.ingress.set_certificates(by_id(certificate(HOST)), 1)
            up.ingress.set_endpoints("dep_a", [app.endpoint()])
            up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
            assert await up.ingress.wait_version(1, WAIT_S) == Applied(1, [])
            yield Served(up, app)


async def is_alive(it: Served) -> bool:
    """Whether somebody else is served."""
    async with http2(it.port, HOST) as two:
        return (await two.get(HOST)).status == 200


def forwarded(request: Message) -> dict[bytes, bytes]:
    return {name.lower(): value for name, value in request.headers if name.lower().startswith(b"x-forwarded")}


async def test_an_app_is_told_how_it_was_reached(it: Served) -> None:
    """Address, scheme, host and port as by HTTP/1.1; the claims of others are replaced, those of proxies kept."""
    claims = [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-host", "evil.example"), ("x-forwarded-port", "1")]
    async with http2(it.port, HOST, source="127.0.0.3") as two:
        answer = await two.get(f"{HOST}:8443", "/", *claims)
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers["x-request-id"] == (it.app.last.one("x-request-id") or b"").decode()
    assert answer.headers["x-sealift-deployment"] == "dep_a"
    assert forwarded(it.app.last) == {
        b"x-forwarded-for": b"127.0.0.3",
        b"x-forwarded-proto": b"https",
        b"x-forwarded-host": f"{HOST}:8443".encode(),
        b"x-forwarded-port": b"8443",
    }
    async with http2(it.port, HOST) as two:
        await two.get(HOST)
    assert it.app.last.one("x-forwarded-port") == b"443"
    async with http2(it.port, HOST, source=PROXY) as two:
        await two.get(HOST, "/", ("x-forwarded-for", "203.0.113.7"), ("x-forwarded-host", "shop.example:8443"))
    assert it.app.last.one("x-forwarded-for") == f"203.0.113.7,{PROXY}".encode()
    assert it.app.last.one("x-forwarded-host") == b"shop.example:8443"


async def test_paths_cookies_and_bodies_arrive_as_they_were_sent(it: Served) -> None:
    """A crooked path, cookies in several fields, a body of unknown length."""
    async with http2(it.port, HOST) as two:
        await two.get(HOST, "/a/../b//c%2F?d", ("cookie", "a=1"), ("cookie", "b=2"))
        assert it.app.last.start == b"GET /a/../b//c%2F?d HTTP/1.1"
        assert it.app.last.one("cookie") == b"a=1; b=2"
        stream = await two.begin(POST, is_ended=False)
        await two.send_data(stream, b"x" * 3_000_000, is_ended=True)
        assert (await two.answer(stream)).status == 200
        assert len(it.app.last.body) == 3_000_000


async def test_a_websocket_is_not_offered_on_a_stream(it: Served) -> None:
    """Else a browser would open one there (RFC 8441), which the app would get as another request than by HTTP/1.1."""
    async with http2(it.port, HOST) as two:
        assert (await two.get(HOST)).status == 200
        assert not two.protocol.remote_settings.enable_connect_protocol
        before = len(it.app.requests)
        upgrade = ((":protocol", "websocket"), ("sec-websocket-version", "13"))
        answer = await two.get(HOST, "/ws", *upgrade, method="CONNECT")
        assert answer.headers.get(":status") != "200"
        assert len(it.app.requests) == before
    assert await is_alive(it)


async def test_many_streams_answer_at_the_same_time(it: Served) -> None:
    """As many as are allowed; one more is refused and may be sent again."""
    release = asyncio.Event()

    async def slow(call: Call) -> None:
        await release.wait()
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    it.app.on("/slow", slow)
    waiting = [*GET[:3], (":path", "/slow")]
    async with http2(it.port, HOST) as two:
        await two.get(HOST)  # the server's settings are here
        assert two.protocol.remote_settings.max_concurrent_streams == MAX_STREAMS
        streams = [await two.begin(waiting) for _ in range(MAX_STREAMS)]
        excess = two.protocol.get_next_available_stream_id()
        frame = HeadersFrame(excess, two.protocol.encoder.encode(GET), flags=["END_HEADERS", "END_STREAM"])
        two.answers[excess] = Http2Answer()
        await two.write(frame.serialize())
        await asyncio.sleep(0.2)
        release.set()
        answers = [await two.answer(stream) for stream in streams]
        assert two.is_closed or {one.status for one in answers} == {200}
    assert await is_alive(it)


BAD: dict[str, list[tuple[str, str]]] = {
    "transfer-encoding": [*POST, ("transfer-encoding", "chunked")],
    "connection header": [*GET, ("connection", "keep-alive, x-secret")],
    "upgrade header": [*GET, ("upgrade", "h2c")],
    "two lengths": [*POST, ("content-length", "3"), ("content-length", "5")],
    "a length that is none": [*POST, ("content-length", "-1")],
    "line break in a value": [*GET, ("x-a", "b\r\nx-injected: 1")],
    "line break in a name": [*GET, ("x-a: 1\r\nx-injected", "1")],
    "zero byte in a value": [*GET, ("x-a", "b\0c")],
    "colon in a name": [*GET, ("x-injected: 1", "1")],
    "upper-case name": [*GET, ("X-Injected", "1")],
    "space in a name": [*GET, ("x injected", "1")],
    "line break in the path": [*GET[:3], (":path", "/ HTTP/1.1\r\nx-injected: 1\r\n\r\n")],
    "space in the path": [*GET[:3], (":path", "/ HTTP/1.1")],
    "line break in the method": [(":method", "GET / HTTP/1.1\r\nx-injected: 1"), *GET[1:]],
    "space in the method": [(":method", "GET /evil"), *GET[1:]],
    "line break in the authority": [*GET[:2], (":authority", f"{HOST}\r\nx-injected: 1"), GET[3]],
    "login in the authority": [*GET[:2], (":authority", f"{HOST}:1@evil.example"), GET[3]],
    "two authorities": [*GET, (":authority", "evil.example")],
    "two paths": [*GET, (":path", "/evil")],
    "two methods": [*GET, (":method", "POST")],
    "unknown pseudo header": [*GET, (":x-injected", "1")],
    "response pseudo header": [*GET, (":status", "200")],
    "pseudo header after others": [*GET[:3], ("x-a", "1"), (":path", "/")],
    "no method": GET[1:],
    "no path": GET[:3],
    "empty path": [*GET[:3], (":path", "")],
    "path without a slash": [*GET[:3], (":path", "evil")],
    "no authority": [*GET[:2], GET[3]],
    "TE other than trailers": [*GET, ("te", "gzip")],
}


@pytest.mark.parametrize("name", BAD)
async def test_what_could_be_read_as_another_request_never_reaches_an_app(it: Served, name: str) -> None:
    """Shapes of request smuggling: refused, or passed on as the one harmless request that they are."""
    before = len(it.app.requests)
    async with http2(it.port, HOST) as two:
        stream = await two.begin(BAD[name])
        answer = await two.answer(stream)
    passed = it.app.requests[before:]
    assert len(passed) <= 1
    for request in passed:
        assert answer.status == 200
        assert request.start in (b"GET / HTTP/1.1", b"POST / HTTP/1.1")
        assert request.one("host") == HOST.encode()
        for forbidden in ("x-injected", "upgrade", "x-secret"):
            assert request.all(forbidden) == []
        assert request.all("te") in ([], [b"trailers"])
        assert len(request.all("content-length")) + len(request.all("transfer-encoding")) <= 1
    if not passed:
        assert answer.status in (0, 400, 404, 403), "a reset, or words"
    assert await is_alive(it)


@pytest.mark.parametrize("length", [b"3", b"0", b"10"])
async def test_a_body_that_differs_from_its_length_is_refused(it: Served, length: bytes) -> None:
    """What is more than announced never becomes the next request at the app, and what is less never its end."""
    before = len(it.app.requests)
    async with http2(it.port, HOST) as two:
        stream = await two.begin([*POST, ("content-length", length.decode())], is_ended=False)
        await two.write(DataFrame(stream, b"abcde", flags=["END_STREAM"]).serialize())
        answer = await two.answer(stream)
    assert answer.status != 200
    assert all(request.start == b"POST / HTTP/1.1" for request in it.app.requests[before:])
    assert len(it.app.requests) - before <= 1
    assert await is_alive(it)


async def test_heads_are_bounded_as_by_http1(it: Served) -> None:
    """64 KiB, and 1,000 fields; more is refused in words or with a reset."""
    async with http2(it.port, HOST) as two:
        assert (await two.get(HOST, "/", *[(f"x-{n}", "v" * 50) for n in range(900)])).status == 200
    for more in ([("x-a", "v" * 70_000)], [(f"x-{n}", "") for n in range(1100)], [("cookie", "a=1")] * 30_000):
        before = len(it.app.requests)
        async with http2(it.port, HOST) as two:
            assert (await two.get(HOST, "/", *more)).status in (0, 431)
        assert len(it.app.requests) == before
    assert await is_alive(it)


async def flood(two: Http2Client, frame: bytes, count: int = 200_000, batch: int = 500) -> bool:
    """Sends a frame again and again; whether the other side ended the connection."""
    for _ in range(count // batch):
        if two.is_closed:
            return True
        await two.write(frame * batch)
        await asyncio.sleep(0)
    return await two.closed(5)


async def test_resets_without_end_are_ended(it: Served) -> None:
    """Streams that are begun and reset at once (CVE-2023-44487) cost the client its connection."""
    before = len(it.app.requests)
    async with http2(it.port, HOST) as two:
        for stream in range(1, 40_000, 2):
            if two.is_closed:
                break
            head = HeadersFrame(stream, two.protocol.encoder.encode(GET), flags=["END_HEADERS", "END_STREAM"])
            await two.write(head.serialize() + RstStreamFrame(stream, ErrorCodes.CANCEL).serialize())
        assert await two.closed(10)
    assert len(it.app.requests) - before < 2000
    assert await is_alive(it)


async def test_continuations_without_end_are_ended(it: Served) -> None:
    """A head that never ends (CVE-2024-27919) is not collected."""
    async with http2(it.port, HOST) as two:
        await two.write(HeadersFrame(1, two.protocol.encoder.encode(GET)).serialize())
        assert await flood(two, ContinuationFrame(1, two.protocol.encoder.encode([("x-a", "b" * 100)])).serialize())
    assert await is_alive(it)


@pytest.mark.parametrize("kind", ["data", "continuation"])
async def test_frames_without_content_are_ended(it: Served, kind: str) -> None:
    """They cost the client its connection."""
    async with http2(it.port, HOST) as two:
        if kind == "data":
            await two.begin(POST, is_ended=False)
            frame = DataFrame(1, b"").serialize()
        else:
            await two.write(HeadersFrame(1, two.protocol.encoder.encode(GET)).serialize())
            frame = ContinuationFrame(1, b"").serialize()
        assert await flood(two, frame, 20_000)
    assert await is_alive(it)


@pytest.mark.parametrize("kind", ["ping", "settings"])
async def test_answers_that_nobody_takes_are_bounded(it: Served, kind: str) -> None:
    """A client that asks and reads nothing is not read any more, or loses its connection."""
    asks = {"ping": PingFrame(0, b"12345678"), "settings": SettingsFrame(0, settings={4: 65535})}
    frame = asks[kind].serialize() * 500
    async with http2(it.port, HOST) as two:
        two.stop_reading()
        sent = 0
        while sent < MOST_FRAMES and await two.write_within(frame, 2):
            sent += 500
        assert sent < MOST_FRAMES
    assert await is_alive(it)
    assert (await get(it.up.port, HOST)).status == 200
