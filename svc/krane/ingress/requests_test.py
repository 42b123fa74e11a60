"""What a client sends is what the app sees."""

import asyncio

import pytest

from pkg.testing.wait import WAIT_S
from svc.krane.ingress.testing import until
from svc.krane.ingress.testing_raw import Call, Raw

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = Raw.HOST


@pytest.mark.parametrize("host", [HOST, f"{HOST}:7480", f"{HOST}:", f"{HOST}.", f"{HOST}.:8443", HOST.upper()])
async def test_the_app_sees_the_host_as_it_was_sent(raw: Raw, host: str) -> None:
    """Absolute links, CSRF checks and cookies of an app depend on the port and spelling that the browser uses."""
    assert (await raw.ask(host=host)).status == 200
    assert raw.app.last.one("host") == host.encode()


async def test_an_absolute_target_names_the_host(raw: Raw) -> None:
    """RFC 9112, 3.2.2: a proxy's request form; what it names counts, the Host header beside it does not."""
    assert (await raw.ask(f"http://{HOST}:99/x?y=1", host="other.example")).status == 200
    assert raw.app.last.start == b"GET /x?y=1 HTTP/1.1"
    assert raw.app.last.one("host") == f"{HOST}:99".encode()


@pytest.mark.parametrize(
    "port", ["1@evil.example", "7480,evil.example", "abc", "+80", "80.evil.example", "-1", "123456"]
)
async def test_a_port_is_a_number(raw: Raw, port: str) -> None:
    """Apps build links from Host, and `http://app:1@evil.example/` leads elsewhere: no app sees such a request."""
    seen = len(raw.app.requests)
    answer = await raw.ask(host=f"{HOST}:{port}")
    assert answer.status == 400
    assert b"number of a port" in answer.body
    # in an absolute target Envoy itself separates the user name from the host
    assert (await raw.ask(f"http://{HOST}:{port}/")).status in (400, 404)
    assert len(raw.app.requests) == seen


async def test_two_host_headers_are_refused(raw: Raw) -> None:
    """RFC 9112, 3.2: a server that reads only one of them would take the request for another app's."""
    for one, other in ((f"{HOST}:1", "other.example"), ("other.example", HOST), (HOST, HOST)):
        assert (await raw.ask("/", f"Host: {other}".encode(), host=one)).status in (400, 404)


@pytest.mark.parametrize(
    "target",
    [
        "/a//b/../c/./d",
        "/%2e%2e/%2F%5c/%00/%zz",
        "/?",
        '/?a=%00&b=//../&&c=+%20[]{}|^`"<>\\',
        "/a[1]{2}|^`;v=1:@!$&'()*+,=",
        "/" + "a" * 60_000,
    ],
)
async def test_path_and_query_pass_byte_by_byte(raw: Raw, target: str) -> None:
    """No slash is merged, no dot resolved, no escape decoded: signatures and file names survive."""
    assert (await raw.ask(target)).status == 200
    assert raw.app.last.start == f"GET {target} HTTP/1.1".encode()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MKCOL"])
async def test_methods_pass(raw: Raw, method: str) -> None:
    """WebDAV's as well as the usual ones."""
    assert (await raw.ask(method=method)).status == 200
    assert raw.app.last.start == f"{method} / HTTP/1.1".encode()


async def test_headers_pass_in_their_case_and_number(raw: Raw) -> None:
    """Underscores, bytes beyond ASCII, empty and repeated ones; 900 of them; one of 60 KiB."""
    many = [b"X-Number-%d: %d" % (n, n) for n in range(900)]
    odd = [b"x_under_score: 1", b"X-MiXeD: a", "X-Name: žluť".encode(), b"X-Empty:", b"X-Two: 1", b"X-Two: 2"]
    assert (await raw.ask("/", *many, *odd)).status == 200
    seen = raw.app.last.headers
    assert all((b"X-Number-%d" % n, b"%d" % n) in seen for n in range(900))
    assert [pair for pair in seen if pair[0] in (b"x_under_score", b"X-MiXeD", b"X-Name", b"X-Empty", b"X-Two")] == [
        (b"x_under_score", b"1"),
        (b"X-MiXeD", b"a"),
        (b"X-Name", "žluť".encode()),
        (b"X-Empty", b""),
        (b"X-Two", b"1"),
        (b"X-Two", b"2"),
    ]
    assert (await raw.ask("/", b"X-Big: " + b"b" * 60 * 1024)).status == 200
    assert raw.app.last.one("x-big") == b"b" * 60 * 1024


async def test_what_belongs_to_one_connection_stays_there(raw: Raw) -> None:
    """RFC 9110, 7.6.1: Connection, and what it names, are between two neighbours; `TE: trailers` is true of us, too."""
    assert (
        await raw.ask("/", b"Connection: keep-alive, X-Hop", b"X-Hop: 1", b"TE: trailers", b"Via: 1.1 me")
    ).status == 200
    last = raw.app.last
    assert (last.one("x-hop"), last.one("te"), last.one("via")) == (None, b"trailers", b"1.1 me")


async def test_the_clients_request_id_is_kept(raw: Raw) -> None:
    """A chain of services can be followed by the id that its first one made; a version 7 UUID stays one."""
    own = b"0196c0a0-1234-7abc-8def-0123456789ab"
    answer = await raw.ask("/", b"X-Request-Id: " + own)
    assert raw.app.last.one("x-request-id") == answer.one("x-request-id") == own
    answer = await raw.ask()
    assert raw.app.last.one("x-request-id") == answer.one("x-request-id")


@pytest.mark.parametrize("keep", [False, True])
async def test_old_clients_are_served(raw: Raw, keep: bool) -> None:
    """HTTP/1.0, as nginx's plain proxy_pass, ab and old health checks speak it; kept open only if they ask for it."""
    raw.app.on("/chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    for path in ("/", "/chunks"):
        answer = await raw.ask(path, *([b"Connection: keep-alive"] if keep else []), version="1.0")
        assert (answer.start, answer.body) == (b"HTTP/1.0 200 OK", b"ok")
        assert answer.all("transfer-encoding") == []
        stays = keep and path == "/"  # an answer of unknown length ends with its connection
        assert answer.one("connection") == (b"keep-alive" if stays else b"close")
        assert raw.app.last.start == f"GET {path} HTTP/1.1".encode()


async def test_bodies_and_trailers_pass(raw: Raw) -> None:
    """By length or in chunks, with trailers, and unbuffered: 32 MiB through a proxy that holds 256 KiB."""
    await raw.ask("/", b"Content-Length: 3", method="POST", body=b"abc")
    assert (raw.app.last.one("content-length"), raw.app.last.body) == (b"3", b"abc")
    chunked = b"1\r\na\r\n2\r\nbc\r\n0\r\nX-Sum: 42\r\n\r\n"
    await raw.ask("/", b"Transfer-Encoding: chunked", b"Trailer: X-Sum", method="POST", body=chunked)
    last = raw.app.last
    assert (last.one("transfer-encoding"), last.one("trailer"), last.body) == (b"chunked", b"X-Sum", b"abc")
    assert last.trailers == [(b"x-sum", b"42")]
    large = b"z" * (32 << 20)
    answer = await raw.ask("/", b"Content-Length: %d" % len(large), method="PUT", body=large)
    assert answer.status == 200
    assert raw.app.last.body == large


async def test_the_app_says_whether_it_wants_the_body(raw: Raw) -> None:
    """Expect reaches the app, its 100 reaches the client; an app that refuses at once never gets the body."""

    async def welcome(call: Call) -> None:
        await call.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await call.reader.readexactly(3)
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + body)

    raw.app.on("/welcome", welcome, early=True)
    raw.app.on("/refuse", b"HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", early=True)
    client = await raw.connect()
    await client.send(raw.request("/welcome", b"Content-Length: 3", b"Expect: 100-continue", method="POST"))
    await until(lambda: raw.app.last.start.startswith(b"POST /welcome"), "the head arrives without the body")
    assert raw.app.last.one("expect") == b"100-continue"
    await client.send(b"abc")
    answer = await client.answer()
    assert [one.status for one in answer.interim] == [100]
    assert answer.body == b"abc"
    client.close()
    answer = await raw.ask("/refuse", b"Content-Length: 3", b"Expect: 100-continue", method="POST")
    assert (answer.status, answer.interim) == (417, [])


async def test_pipelined_requests_are_answered_in_order(raw: Raw) -> None:
    """Three requests sent at once come one after the other."""
    for name in "abc":
        raw.app.on(f"/{name}", f"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{name}".encode())
    client = await raw.connect()
    await client.send(b"".join(raw.request(f"/{name}") for name in "abc"))
    assert [(await client.answer()).text for _ in "abc"] == ["a", "b", "c"]
    client.close()


async def test_other_upgrades_are_left_out(raw: Raw) -> None:
    """Only websockets switch protocols; any other request for it is an ordinary one, as HTTP allows."""
    for token in ("h2c", "TLS/1.3", "we", "foo"):
        assert (await raw.ask("/", b"Connection: Upgrade", f"Upgrade: {token}".encode())).status == 200
        assert raw.app.last.one("upgrade") is None


async def test_http2_without_tls_is_served(raw: Raw) -> None:
    """Proxies and service meshes speak HTTP/2 with prior knowledge; the app gets HTTP/1.1 with Host."""
    literal = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/h2"), (b":authority", HOST.encode())]
    block = b"".join(b"\x00%c%s%c%s" % (len(name), name, len(value), value) for name, value in literal)
    settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    headers = len(block).to_bytes(3, "big") + b"\x01\x05\x00\x00\x00\x01" + block
    client = await raw.connect()
    await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + headers)
    body = b""
    async with asyncio.timeout(WAIT_S):
        while body == b"":
            frame = await client.reader.readexactly(9)
            payload = await client.reader.readexactly(int.from_bytes(frame[:3], "big"))
            body = payload if frame[3] == 0 else b""
    client.close()
    assert body == b"ok"
    assert raw.app.last.start == b"GET /h2 HTTP/1.1"
    assert raw.app.last.one("host") == HOST.encode()


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        (b"Content-Length: 5\r\nContent-Length: 6", b"abcdef"),
        (b"Content-Length: 5, 6", b"abcdef"),
        (b"Content-Length: +5", b"abcde"),
        (b"Content-Length: 0x5", b"abcde"),
        (b"Content-Length : 5", b"abcde"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"0\r\n\r\n"),
        (b"Transfer-Encoding: xchunked", b"0\r\n\r\n"),
        (b"Transfer-Encoding: \x0bchunked", b"0\r\n\r\n"),
        (b"Transfer_Encoding: chunked\r\nContent-Length: -1", b"0\r\n\r\n"),
        (b"X-A: b\x00c", b""),
        (b"X A: b", b""),
    ],
)
async def test_ambiguous_requests_reach_no_app(raw: Raw, head: bytes, body: bytes) -> None:
    """Shapes that two servers would read differently are refused: nobody smuggles a second request past us."""
    before = len(raw.app.requests)
    client = await raw.connect()
    await client.send(raw.request("/", head, method="POST") + body + raw.request("/smuggled"))
    answer = await client.answer()
    assert 400 <= answer.status <= 501, answer
    assert answer.status != 404
    assert await client.ended()
    client.close()
    assert len(raw.app.requests) == before


async def test_a_lone_carriage_return_is_taken_out(raw: Raw) -> None:
    """Some servers would end the line there."""
    assert (await raw.ask("/", b"X-A: b\rX-Admin: 1")).status == 200
    assert (raw.app.last.one("x-a"), raw.app.last.one("x-admin")) == (b"bX-Admin: 1", None)


async def test_two_hosts_are_no_host(raw: Raw) -> None:
    """Which of the two counts is not guessed."""
    before = len(raw.app.requests)
    assert (await raw.ask("/", f"Host: {HOST}".encode())).status == 404
    assert len(raw.app.requests) == before
