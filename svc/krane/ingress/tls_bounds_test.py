"""TLS under floods, slow clients and a thousand certificates: bounded in memory and time."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path

import pytest

from pkg.testing.wait import WAIT_S
from svc.krane.ingress import secrets
from svc.krane.ingress.port import Applied
from svc.krane.ingress.testing import IngressHarness, Upstream, until
from svc.krane.ingress.testing_tls import connect, handshake, hello, until_closed
from svc.krane.testing.certificates import by_id, certificate
from svc.krane.testing.routes import routes_to

HOST = "a.example"
NAMES = 10_000
AT_ONCE = 64


@pytest.fixture(autouse=True)
async def served(up: IngressHarness, apps: list[Upstream]) -> None:
    """HOST is served, with a certificate."""
    up.ingress.set_endpoints("dep_a", [apps[0].endpoint()])
    up.ingress.set_certificates(by_id(certificate(HOST)), 1)
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
    assert await up.ingress.wait_version(1, WAIT_S) == Applied(1, [])


async def all_of(calls: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Runs all, `AT_ONCE` at a time."""
    left = iter(calls)

    async def work() -> None:
        for call in left:
            await call()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def resident_mib(pid: int) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) >> 10


def names(count: int, domain: str = "flood.example") -> list[str]:
    """Names of one length."""
    return [f"n{n:06}.{domain}" for n in range(count)]


def floods(port: int, hostnames: list[str]) -> Iterable[Callable[[], Awaitable[object]]]:
    """First messages for each, from clients that never answer."""
    template = hello(hostnames[0].encode())

    for hostname in hostnames:
        yield partial(until_closed, port, template.replace(hostnames[0].encode(), hostname.encode()))


async def test_a_flood_of_unknown_names_leaves_nothing(up: IngressHarness) -> None:
    """10,000 names: each is refused, a known one is served meanwhile, and neither krane nor Envoy remembers any."""
    await handshake(up.tls_port, HOST)
    before, tasks = resident_mib(up.envoy.pid), len(asyncio.all_tasks())
    slowest = 0.0
    flood = asyncio.create_task(all_of(floods(up.tls_port, names(NAMES))))
    while not flood.done():
        slowest = max(slowest, (await handshake(up.tls_port, HOST)).took_s)
        await asyncio.sleep(0.05)
    await flood
    assert slowest < 5
    await until(lambda: up.ingress.secrets.names == 1, "only the known one is left")
    await until(lambda: len(asyncio.all_tasks()) <= tasks + 5, "and no task")
    assert resident_mib(up.envoy.pid) < before + 64


async def test_a_flood_while_krane_is_away_is_forgotten_when_it_returns(up: IngressHarness) -> None:
    """Handshakes for unknown names end by time; the known name is served all along."""
    await handshake(up.tls_port, HOST)
    before = resident_mib(up.envoy.pid)
    await up.server.stop()
    flood = asyncio.create_task(all_of(floods(up.tls_port, names(AT_ONCE))))
    await handshake(up.tls_port, HOST)
    await flood
    up.new_ingress()
    up.ingress.set_certificates(by_id(certificate(HOST)), 1)
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
    up.ingress.mark_ready()
    await up.server.start()
    await until(lambda: up.ingress.applied_version == 1 and up.ingress.secrets.names == 1, "the known one is left")
    await handshake(up.tls_port, HOST)
    assert resident_mib(up.envoy.pid) < before + 32


async def test_names_below_a_wildcard_are_bounded(up: IngressHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can think of them: the oldest without a route are taken from Envoy, and served again when asked for."""
    monkeypatch.setattr(secrets, "MAX_UNROUTED", 20)
    up.ingress.set_certificates(by_id(certificate("*.example", HOST), certificate("*.flood.example")), 2)
    up.ingress.set_routes(routes_to({HOST: "dep_a", "b.example": "dep_a"}), 2)
    assert await up.ingress.wait_version(2, WAIT_S) == Applied(2, [])
    for routed in (HOST, "b.example"):
        await handshake(up.tls_port, routed)
    oldest = names(1)[0]
    kept = await connect(up.tls_port, oldest)
    await all_of(partial(handshake, up.tls_port, name) for name in names(200))
    await until(lambda: up.ingress.secrets.names == 22, "two with a route, and 20 others")
    await kept.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    assert (await kept.answer()).status == 200, "a connection outlives that its name is forgotten"
    kept.close()
    for name in (oldest, HOST, "b.example"):
        await handshake(up.tls_port, name)
    active = await up.envoy.admin("/stats?filter=on_demand_secret.cert_active")
    assert sum(int(line.split(": ")[1]) for line in active.splitlines()) <= 24


async def test_slow_handshakes_end(up: IngressHarness) -> None:
    """A client that says nothing, half of its first message, or nothing more after it."""
    whole = hello(HOST.encode())
    await asyncio.gather(*(until_closed(up.tls_port, data) for data in (b"", whole[:50], whole)))
    await handshake(up.tls_port, HOST)


async def test_what_is_no_tls_is_closed(up: IngressHarness) -> None:
    """Plain HTTP on the port of HTTPS, and noise."""
    request = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    for data in (request, b"\0" * 1000, b"\x16\x03\x01\xff\xff" + b"a" * 70_000):
        await until_closed(up.tls_port, data)
    await handshake(up.tls_port, HOST)


async def test_renegotiation_is_refused(up: IngressHarness) -> None:
    """A client of TLS 1.2 that asks for it loses its connection."""
    command = ("openssl", "s_client", "-tls1_2", "-servername", HOST, "-connect", f"127.0.0.1:{up.tls_port}")
    client = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert client.stdin is not None
    assert client.stdout is not None
    seen = b""
    async with asyncio.timeout(WAIT_S):
        while b"Verify return code" not in seen:
            seen += await client.stdout.read(1000)
        client.stdin.write(b"R\n")
        rest = await client.stdout.read()
        await client.wait()
    assert b"RENEGOTIATING" in rest
    assert client.returncode != 0 or b"no renegotiation" in rest.lower(), rest
    await handshake(up.tls_port, HOST)


async def test_a_thousand_certificates(up: IngressHarness) -> None:
    """Each is there at its first handshake; one is rotated, and all of them without a failed request."""
    hosts = names(1000, "many.example")
    own = {host: certificate(host) for host in hosts}
    up.ingress.set_certificates(by_id(*own.values()), 2)
    up.ingress.set_routes(routes_to(dict.fromkeys((HOST, *hosts), "dep_a")), 2)
    assert await up.ingress.wait_version(2, WAIT_S) == Applied(2, [])
    before = resident_mib(up.envoy.pid)
    await all_of(partial(handshake, up.tls_port, host) for host in hosts)
    assert up.ingress.secrets.names == 1000
    assert resident_mib(up.envoy.pid) < before + 128
    own[hosts[7]] = certificate(hosts[7])
    up.ingress.set_certificates(by_id(*own.values()), 3)
    up.ingress.set_routes(routes_to(dict.fromkeys((HOST, *hosts), "dep_a")), 3)
    assert await up.ingress.wait_version(3, WAIT_S) == Applied(3, [])
    own = {host: certificate(host) for host in hosts}
    up.ingress.set_certificates(by_id(*own.values()), 4)
    up.ingress.set_routes(routes_to(dict.fromkeys((HOST, *hosts), "dep_a")), 4)
    rotated = asyncio.create_task(up.ingress.wait_version(4, 60))
    while not rotated.done():
        await handshake(up.tls_port, hosts[500])
    assert await rotated == Applied(4, [])
