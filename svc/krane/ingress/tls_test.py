"""TLS at a real Envoy: which handshakes succeed, with which certificate, and what happens while certificates change."""

import asyncio
import contextlib
import itertools
import socket
import ssl
import time
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pkg.testing.wait import WAIT_S
from svc.krane.ingress.port import Applied, Certificate
from svc.krane.ingress.testing import TRUSTED, IngressHarness, Upstream, until
from svc.krane.ingress.testing_raw import Call, raw_app
from svc.krane.ingress.testing_tls import connect, context, handshake, hello, http2, until_closed
from svc.krane.testing.certificates import by_id, certificate
from svc.krane.testing.routes import routes_to

HOST = "a.example"


def serial(one: Certificate) -> int:
    return x509.load_pem_x509_certificate(one.chain_pem).serial_number


async def serve(up: IngressHarness, certificates: Sequence[Certificate], version: int = 1) -> Applied:
    """HOST is served by an app that is not asked, with these certificates."""
    up.ingress.set_certificates(by_id(*certificates), version)
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), version)
    return await up.ingress.wait_version(version, WAIT_S)


async def served(up: IngressHarness, app: Upstream, *certificates: Certificate) -> None:
    """HOST is served by `app`, with these certificates."""
    up.ingress.set_endpoints("dep_a", [app.endpoint()])
    assert await serve(up, certificates or [certificate(HOST)]) == Applied(1, [])


async def closes_at_once(port: int, server_name: str | None) -> float:
    """Seconds until a handshake for `server_name` was refused."""
    began = time.monotonic()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await (handshake(port, server_name) if server_name else asyncio.to_thread(_without_name, port))
    return time.monotonic() - began


def _without_name(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context().wrap_socket(plain):
        pass


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_handshakes_by_version_and_protocol(up: IngressHarness, apps: list[Upstream]) -> None:
    """TLS 1.2 and 1.3 are served, with HTTP/2 and HTTP/1.1; nothing older."""
    await served(up, apps[0])
    newest = await handshake(up.tls_port, HOST, context("h2"))
    assert (newest.version, newest.alpn) == ("TLSv1.3", "h2")
    older = await handshake(up.tls_port, HOST, context("http/1.1", ssl.TLSVersion.TLSv1_2))
    assert (older.version, older.alpn) == ("TLSv1.2", "http/1.1")
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
            await handshake(up.tls_port, HOST, context(most=version))
    assert (await handshake(up.tls_port, HOST, source=TRUSTED[0].partition("/")[0])).serial == newest.serial


async def test_a_name_without_a_certificate_is_refused_at_once(up: IngressHarness, apps: list[Upstream]) -> None:
    """No client hangs: unknown names, names that are no hostnames, and clients that say none."""
    await served(up, apps[0])
    for name in ("unknown.example", "sub.a.example", "example", "x" * 63 + ".example", None):
        assert await closes_at_once(up.tls_port, name) < 1
    assert up.ingress.secrets.names == 0, "Envoy forgets what it is refused"
    known = await handshake(up.tls_port, HOST)
    for odd in (b"\xff\xfe.example", b"a b", b"a/../b", b"a.example\x01"):
        await until_closed(up.tls_port, hello(odd))
    assert (await handshake(up.tls_port, HOST)).serial == known.serial
    assert up.ingress.secrets.names == 1


async def test_a_certificate_that_comes_is_served(up: IngressHarness, apps: list[Upstream]) -> None:
    """The handshake after a refused one finds it: nothing is remembered of the refusal."""
    await served(up, apps[0], certificate("other.example"))
    await closes_at_once(up.tls_port, HOST)
    mine = certificate(HOST)
    assert await serve(up, [mine], 2) == Applied(2, [])
    assert (await handshake(up.tls_port, HOST)).serial == serial(mine)


async def test_the_best_certificate_is_served(up: IngressHarness, apps: list[Upstream]) -> None:
    """An exact name before a wildcard, then the latest end; an expired one rather than none; any spelling of a name."""
    wildcard, short, long = certificate("*.example"), certificate(HOST, days=30), certificate(HOST, days=60)
    expired = certificate("old.other", days=-1)
    await served(up, apps[0], wildcard, short, long, expired)
    for name in (HOST, HOST.upper(), f"{HOST}."):
        assert (await handshake(up.tls_port, name)).serial == serial(long)
    assert (await handshake(up.tls_port, "b.example")).serial == serial(wildcard)
    assert (await handshake(up.tls_port, "old.other")).serial == serial(expired)
    await closes_at_once(up.tls_port, "a.b.example")
    assert await serve(up, [wildcard, short, expired], 2) == Applied(2, [])
    assert (await handshake(up.tls_port, HOST)).serial == serial(short)
    assert await serve(up, [wildcard], 3) == Applied(3, [])
    assert (await handshake(up.tls_port, HOST)).serial == serial(wildcard)
    assert await serve(up, [], 4) == Applied(4, [])
    await closes_at_once(up.tls_port, HOST)


async def test_one_connection_for_several_names(up: IngressHarness, apps: list[Upstream]) -> None:
    """Browsers send requests for all names of a certificate on one HTTP/2 connection: the route is that of each."""
    up.ingress.set_endpoints("dep_a", [apps[0].endpoint()])
    up.ingress.set_endpoints("dep_b", [apps[1].endpoint()])
    up.ingress.set_certificates(by_id(certificate("*.example")), 1)
    up.ingress.set_routes(routes_to({HOST: "dep_a", "b.example": "dep_b"}), 1)
    assert await up.ingress.wait_version(1, 10) == Applied(1, [])
    async with http2(up.tls_port, HOST) as two:
        assert [(await two.get(name)).body for name in (HOST, "b.example", HOST)] == [b"a", b"b", b"a"]
        assert (await two.get("c.example")).status == 404, "and no other app answers"


async def test_a_certificate_that_envoy_refuses_is_told_and_passed_over(
    up: IngressHarness, apps: list[Upstream]
) -> None:
    """A key of another certificate, or bytes that are none: the next best one is served, and the reason is reported."""
    good = certificate(HOST, days=10)
    other = certificate(HOST, days=99, key=ec.generate_private_key(ec.SECP256R1()))
    mixed = Certificate("crt_mixed", (HOST,), other.chain_pem, good.private_key_pem, other.not_after)
    rubbish = Certificate("crt_rubbish", (HOST,), b"not PEM", b"neither", other.not_after + 1)
    await served(up, apps[0], good, mixed, rubbish)
    assert (await handshake(up.tls_port, HOST)).serial == serial(good)
    (told,) = (await up.ingress.wait_version(1, WAIT_S)).nacks
    assert told.hostname == "", "no deploy of the hostname fails for it"
    for name in ("crt_mixed", "crt_rubbish"):
        assert f"envoy refused the certificate {name}: " in told.message
    assert "PRIVATE KEY" not in told.message + up.envoy.log
    repaired = Certificate("crt_mixed", (HOST,), other.chain_pem, other.private_key_pem, other.not_after)
    assert await serve(up, [good, repaired], 2) == Applied(2, [])
    assert (await handshake(up.tls_port, HOST)).serial == serial(repaired)


async def test_a_version_is_applied_once_envoy_has_the_certificates(up: IngressHarness, apps: list[Upstream]) -> None:
    """A renewal is not acknowledged before new handshakes are served with it."""
    await served(up, apps[0])
    await handshake(up.tls_port, HOST)
    for version in range(2, 12):
        renewed = certificate(HOST, days=90 + version)
        assert await serve(up, [renewed], version) == Applied(version, [])
        assert (await handshake(up.tls_port, HOST)).serial == serial(renewed)


async def test_nothing_that_changes_closes_a_connection(up: IngressHarness, apps: list[Upstream]) -> None:
    """A websocket, an HTTP/2 connection and requests under load outlive names and certificates that come and go."""
    async with raw_app() as app:

        async def switch(call: Call) -> None:
            await call.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            while data := await call.reader.read(100):
                await call.send(data)

        app.on("/ws", switch)
        up.ingress.set_endpoints("dep_a", [app.endpoint()])
        assert await serve(up, [certificate(HOST)]) == Applied(1, [])
        socket_ = await connect(up.tls_port, HOST)
        upgrade = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x", b"Sec-WebSocket-Version: 13")
        head = b"\r\n".join((b"GET /ws HTTP/1.1", b"Host: " + HOST.encode(), *upgrade))
        await socket_.send(head + b"\r\n\r\n")
        assert (await socket_.answer()).status == 101
        async with http2(up.tls_port, HOST) as two:
            assert (await two.get(HOST)).status == 200
            stop, failures = asyncio.Event(), list[str]()
            load = [asyncio.create_task(_load(up, stop, failures)) for _ in range(4)]
            for version in range(2, 40):
                names = {f"n{n}.example": certificate(f"n{n}.example") for n in range(version % 5)}
                up.ingress.set_certificates(by_id(certificate(HOST, days=90 + version), *names.values()), version)
                routes = routes_to(dict.fromkeys((HOST, *names), "dep_a"))
                up.ingress.set_routes(routes, version)
                assert await up.ingress.wait_version(version, WAIT_S) == Applied(version, [])
                for name in names:
                    await handshake(up.tls_port, name)
                await socket_.send(b"ping")
                assert await asyncio.wait_for(socket_.reader.readexactly(4), WAIT_S) == b"ping"
                assert (await two.get(HOST)).status == 200
            stop.set()
            await asyncio.gather(*load)
            assert failures == []
            assert not two.is_closed
        socket_.close()


async def _load(up: IngressHarness, stop: asyncio.Event, failures: list[str]) -> None:
    """New connections and kept ones, until `stop`."""
    kept = await connect(up.tls_port, HOST)
    request = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    while not stop.is_set():
        try:
            fresh = await connect(up.tls_port, HOST)
            for one in (fresh, kept):
                await one.send(request)
                if (answer := await one.answer()).status != 200:
                    failures.append(answer.text)
            fresh.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            failures.append(repr(error))
    kept.close()


async def shows(up: IngressHarness, one: Certificate) -> None:
    """Waits until handshakes are served with it."""
    async with asyncio.timeout(WAIT_S):
        for pause_s in itertools.repeat(0.02):
            with contextlib.suppress(OSError):
                if (await handshake(up.tls_port, HOST)).serial == serial(one):
                    return
            await asyncio.sleep(pause_s)


async def test_krane_and_envoy_may_be_killed(up: IngressHarness, apps: list[Upstream]) -> None:
    """Without krane, what Envoy has met is served; a krane that returns goes on; so does an Envoy that starts empty."""
    await served(up, apps[0], first := certificate(HOST))
    assert (await handshake(up.tls_port, HOST)).serial == serial(first)
    await up.server.stop()
    assert (await handshake(up.tls_port, HOST)).serial == serial(first)
    up.new_ingress()
    up.ingress.set_endpoints("dep_a", [apps[0].endpoint()])
    renewed = certificate(HOST, days=200)
    up.ingress.set_certificates(by_id(renewed), 5)
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 5)
    await up.server.start()
    await asyncio.sleep(0)
    assert (await handshake(up.tls_port, HOST)).serial == serial(first), "nothing changes before krane is ready"
    up.ingress.mark_ready()
    assert await up.ingress.wait_version(5, WAIT_S) == Applied(5, [])
    await until(lambda: up.ingress.secrets.names == 1, "Envoy asks again for what it holds")
    await shows(up, renewed)
    up.envoy.kill()
    up.envoy.start()
    await shows(up, renewed)
    connection = await connect(up.tls_port, HOST)
    await connection.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    assert (await connection.answer()).text == "a"
    connection.close()
