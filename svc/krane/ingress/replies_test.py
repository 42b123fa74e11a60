"""What the ingress answers by itself says who refused, why, and what can be done."""

import asyncio
import re
from pathlib import Path

import pytest

from pkg.testing.wait import WAIT_S
from svc.krane.ingress import listener
from svc.krane.ingress.testing import running_ingress
from svc.krane.ingress.testing_raw import Call, CloseConnection, Message, Raw, RawClient, ask, raw_app
from svc.krane.testing.routes import routes_to

shared = pytest.mark.asyncio(loop_scope="module")

HOST = Raw.HOST


def check(answer: Message, status: int, *words: str, with_id: bool = True) -> None:
    """A short plain text that begins with the status, and names the request if it could be read."""
    assert answer.status == status
    assert answer.one("content-type") == b"text/plain; charset=utf-8"
    assert answer.text.startswith(f"{status}: ")
    assert answer.text.endswith("\n")
    assert len(answer.text) < 600
    assert all(word in answer.text for word in words), answer.text
    ids = re.findall(r"^Request id: (\S+)$", answer.text, re.MULTILINE)
    assert ids == ([(answer.one("x-request-id") or b"").decode()] if with_id else [])


@shared
async def test_unknown_hosts_get_a_404_that_names_them(raw: Raw) -> None:
    """The user learns what was asked for and what to look at."""
    for version in ("1.0", "1.1"):
        check(await raw.ask(host="typo.sealift.localhost:80", version=version), 404, "typo.sealift.localhost:80")
    answer = await raw.ask(host="typo.sealift.localhost", method="HEAD")
    assert (answer.status, answer.body) == (404, b"")


@shared
async def test_connect_is_no_404(raw: Raw) -> None:
    """The ingress says so to a client that takes it for a forward proxy, whatever the host."""
    for host in (HOST, "example.com"):
        answer = await ask(raw.port, f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        check(answer, 501, "not a forward proxy", with_id=False)


@shared
async def test_a_request_without_host_is_told_why(raw: Raw) -> None:
    """An HTTP/1.0 client that sends none cannot be served: which app should it be?"""
    for version in ("1.0", "1.1"):
        check(await raw.ask(host=None, version=version), 400, "names no host", with_id=False)


@shared
@pytest.mark.parametrize(
    ("request_", "status", "word"),
    [
        (b"hello\r\n\r\n", 400, "not a valid HTTP request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX A: 1\r\n\r\n", 400, "No app has seen it"),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "not a valid HTTP request"),
        ("GET /\u017e HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 400, "not a valid HTTP request"),
        (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "path_normalization_failed"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "Transfer-Encoding"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404, "absolute_path_rejected"),
    ],
)
async def test_what_is_no_request_is_told_why(raw: Raw, request_: bytes, status: int, word: str) -> None:
    """Not the bare words Bad Request."""
    check(await ask(raw.port, request_), status, word, with_id=False)


@shared
async def test_too_large_heads_are_refused(raw: Raw) -> None:
    """One request cannot take unbounded memory; the bounds are named."""
    before = len(raw.app.requests)
    check(await raw.ask("/", b"X-Big: " + b"x" * 80_000), 431, "64 KiB", "1000 headers", with_id=False)
    check(await raw.ask("/" + "x" * 80_000), 431, "64 KiB", with_id=False)
    many = [b"X-%d: 1" % n for n in range(1001)]
    check(await raw.ask("/", *many), 431, "1000 headers", with_id=False)
    assert len(raw.app.requests) == before


@shared
async def test_an_app_that_hangs_up_is_named(raw: Raw) -> None:
    """The request may have been worked on: 502, and no advice to send it again."""

    async def hang_up(call: Call) -> None:
        raise CloseConnection

    raw.app.on("/hang-up", hang_up)
    for method in ("GET", "POST"):
        answer = await raw.ask("/hang-up", method=method)
        check(answer, 502, HOST, "without an answer", "`sealift status dep_a`")
        assert answer.one("retry-after") is None


@shared
@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX Bad: 1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Large: " + b"a" * 300 * 1024 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(1100)) + b"\r\n",
    ],
)
async def test_an_answer_that_is_no_http_is_named(raw: Raw, answer: bytes) -> None:
    """The app is at fault, and the text says which bounds there are."""
    raw.app.on("/odd", answer)
    check(await raw.ask("/odd"), 502, "not valid HTTP", "256 KiB", "1000 headers", "`sealift status dep_a`")


@shared
async def test_a_websocket_that_the_app_does_not_open_is_told_so(raw: Raw) -> None:
    """A page instead of a protocol: 502. A redirect stays one."""
    upgrade = (b"Connection: Upgrade", b"Upgrade: websocket")
    raw.app.on("/page", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")
    raw.app.on("/moved", b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n")
    check(await raw.ask("/page", *upgrade), 502, "WebSocket", HOST)
    answer = await raw.ask("/moved", *upgrade)
    check(answer, 302, "redirect")
    assert answer.one("location") == b"/login"


@shared
async def test_too_slow_heads_are_ended(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that trickles its head does not hold a connection for ever."""
    monkeypatch.setattr(listener, "REQUEST_HEADERS_TIMEOUT_S", 1)
    async with running_ingress(short_dir) as up, raw_app() as app:
        up.ingress.set_endpoints("dep_a", [app.endpoint()])
        up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
        await up.ingress.wait_version(1, WAIT_S)
        client = await RawClient.connect(up.port)
        await client.send(b"GET / HTTP/1.1\r\nHost: ")
        check(await client.answer(), 408, "30 s", with_id=False)
        assert await client.ended()
        client.close()


@shared
async def test_an_idle_stream_is_ended_with_a_reason(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is held for ever."""
    monkeypatch.setattr(listener, "STREAM_IDLE_S", 1)
    async with running_ingress(short_dir) as up, raw_app() as app:

        async def never(call: Call) -> None:
            await asyncio.Event().wait()

        app.on("/never", never)
        up.ingress.set_endpoints("dep_a", [app.endpoint()])
        up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
        await up.ingress.wait_version(1, WAIT_S)
        answer = await ask(up.port, f"GET /never HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        check(answer, 504, "an hour")
