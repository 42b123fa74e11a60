"""From where a call comes, with and without proxies, and how many of one client may be under way."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import grpc
import pytest
from grpc import aio
from hypothesis import given
from hypothesis import strategies as st

from pkg.config.sections import LOOPBACK_NETWORKS
from pkg.errors import ResourceExhausted
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import ctrl_pb2, deployment_pb2
from svc.api.conftest import Deploy
from svc.api.http import connect
from svc.api.rpc.clients import MAX_CALLS, MAX_REQUESTS, Client, Clients, grpc_peer
from svc.api.testing import RunningApi, refused

PROXY = "127.0.0.1"
THROUGH = {"x-forwarded-proto": "https", "x-forwarded-host": "deploy.example.com:7443"}


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        (PROXY, "203.0.113.7", LOOPBACK_NETWORKS, "203.0.113.7"),
        (PROXY, "198.51.100.9, 203.0.113.7", LOOPBACK_NETWORKS, "203.0.113.7"),
        (PROXY, "203.0.113.7, 10.0.0.2", (*LOOPBACK_NETWORKS, "10.0.0.0/8"), "203.0.113.7"),
        (PROXY, "10.0.0.3, 10.0.0.2", (*LOOPBACK_NETWORKS, "10.0.0.0/8"), "10.0.0.3"),
        (PROXY, "::ffff:203.0.113.7", LOOPBACK_NETWORKS, "203.0.113.7"),
        (PROXY, "2001:db8::1", LOOPBACK_NETWORKS, "2001:db8::1"),
        (PROXY, "nonsense", LOOPBACK_NETWORKS, PROXY),
        (PROXY, "203.0.113.7, nonsense", LOOPBACK_NETWORKS, PROXY),
        ("203.0.113.8", "203.0.113.7", LOOPBACK_NETWORKS, "203.0.113.8"),
        (PROXY, "203.0.113.7", (), PROXY),
        (PROXY, "", LOOPBACK_NETWORKS, PROXY),
        ("", "203.0.113.7", LOOPBACK_NETWORKS, ""),
    ],
)
def test_the_address_of_a_client(peer: str, forwarded: str, trusted: tuple[str, ...], address: str) -> None:
    """Promise: the nearest address that no trusted proxy has is the client's; an untrusted peer is the client."""
    assert Clients(trusted).client(peer, {**THROUGH, "x-forwarded-for": forwarded}).address == address


def test_the_url_that_a_client_used() -> None:
    """Promise: a trusted proxy, and nobody else, says under which URL it was reached."""
    clients, headers = Clients(LOOPBACK_NETWORKS), {**THROUGH, "x-forwarded-for": "203.0.113.7"}
    found = clients.client(PROXY, headers)
    assert (found.server_url, found.server_host) == ("https://deploy.example.com:7443", "deploy.example.com")
    assert clients.client("203.0.113.8", headers).server_url == ""
    assert clients.client(PROXY, THROUGH).server_url == ""
    for host in ("evil.example/path", "a b", "user@x", "x:", "", "[::1]:70000x"):
        assert clients.client(PROXY, {**headers, "x-forwarded-host": host}).server_url == ""
    assert clients.client(PROXY, {**headers, "x-forwarded-proto": "file"}).server_url == ""


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_any_headers(forwarded: str, host: str, proto: str) -> None:
    """Promise: no header makes a call fail, or gives a URL with a path or a user."""
    headers = {"x-forwarded-for": forwarded, "x-forwarded-host": host, "x-forwarded-proto": proto}
    found = Clients(LOOPBACK_NETWORKS).client(PROXY, headers)
    assert not {"@", "?", " "} & set(found.server_url)
    assert found.server_url.count("/") in (0, 2)


def test_calls_of_one_client_are_bounded() -> None:
    """Promise: one client of a proxy can't take the place of the others; an IPv6 network is one client."""
    clients = Clients(LOOPBACK_NETWORKS, max_calls=2)

    def through(address: str) -> Client:
        return clients.client(PROXY, {**THROUGH, "x-forwarded-for": address})

    one = through("2001:db8::1")
    with clients.counted(one), clients.counted(through("2001:db8::2")):
        with (
            pytest.raises(ResourceExhausted, match="2 calls from 2001:db8::3"),
            clients.counted(through("2001:db8::3")),
        ):
            raise AssertionError
        with clients.counted(through("203.0.113.7")), clients.counted(Client(PROXY)):
            pass
    with clients.counted(one):
        pass


@pytest.mark.parametrize("host", ["deploy.example.com:", "", "a b"])
def test_no_host_header_escapes_the_bound(host: str) -> None:
    """Promise: a call through a proxy counts whatever its Host is; the ingress takes one with an empty port."""
    clients = Clients(LOOPBACK_NETWORKS, max_calls=1)
    one = clients.client(PROXY, {**THROUGH, "x-forwarded-host": host, "x-forwarded-for": "203.0.113.7"})
    with clients.counted(one), pytest.raises(ResourceExhausted), clients.counted(one):
        raise AssertionError


def test_names_of_peers() -> None:
    """Promise: every form in which gRPC names a peer is understood."""
    assert grpc_peer("ipv4:127.0.0.1:5000") == "127.0.0.1"
    assert grpc_peer("ipv6:[::1]:5000") == grpc_peer("ipv6:%5B::1%5D:5000") == "::1"
    assert grpc_peer("unix:/run/x.sock") == grpc_peer("") == ""


async def test_slow_bodies_of_one_client_leave_room_for_others(api: RunningApi) -> None:
    """Promise: RPCs as JSON and transfers count alike, each of which holds a connection of the ingress: the one too
    many is answered at once, without its body, and another client is served."""
    host, _, port = api.http.removeprefix("http://").rpartition(":")

    async def asking(address: str, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
        key = f"Authorization: Bearer {api.admin_key}\r\nX-Forwarded-For: {address}\r\n"
        writer.write(f"{head}{key}\r\n{{".encode())
        return reader, writer

    call = "/sealift.ctrl.v1.CtrlService/GetServerInfo"
    async with asyncio.timeout(60), aiohttp.ClientSession(api.http) as http:
        held = [await asking("203.0.113.7", call) for _ in range(MAX_REQUESTS)]
        try:
            for path, words in ((call, b'"resource_exhausted"'), ("/objects/x", b"32 HTTP requests from 203.0.113.7")):
                while True:  # until all that were sent before are under way
                    reader, writer = await asking("203.0.113.7", path)
                    held.append((reader, writer))
                    answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
                    if (await asyncio.wait({answer}, timeout=1))[0]:
                        head = answer.result()
                        if b" 429 " in head:
                            break
                    answer.cancel()
                assert b"Retry-After: 1" in head
                assert words in await reader.read(4000)
            async with http.post(call, json={}, headers={"x-forwarded-for": "203.0.113.8"}) as other:
                assert other.status == 401
        finally:
            for _, writer in held:
                writer.close()


async def test_a_body_that_stops_is_not_waited_for(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: it holds its connection for seconds only, and is told why."""
    monkeypatch.setattr(connect, "BODY_IDLE_S", 0.3)

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    headers = {"Authorization": f"Bearer {api.admin_key}", "Content-Type": "application/json"}
    async with asyncio.timeout(60), aiohttp.ClientSession(api.http) as http:
        path = "/sealift.ctrl.v1.CtrlService/GetServerInfo"
        async with http.post(path, data=body(), headers=headers) as answer:
            assert (answer.status, "nothing of it arrived" in await answer.text()) == (400, True)


async def test_one_client_of_the_ingress_leaves_room_for_others(api: RunningApi, deploy: Deploy) -> None:
    """Promise: a client that holds all the streams it may is told so, over both transports; others are served."""
    made = await deploy()
    request = deployment_pb2.WatchDeploymentRequest(deployment_id=made.deployment_id)
    key = ("authorization", f"Bearer {api.admin_key}")

    def through(address: str) -> dict[str, str]:
        return {**THROUGH, "x-forwarded-for": address}

    held = [
        api.open.deployment.WatchDeployment(request, metadata=(key, *through("203.0.113.7").items()))
        for _ in range(MAX_CALLS)
    ]
    try:
        async with asyncio.timeout(WAIT_S):
            for stream in held:
                await stream.read()
        with pytest.raises(aio.AioRpcError) as caught:
            await api.open.ctrl.Liveness(ctrl_pb2.LivenessRequest(), metadata=tuple(through("203.0.113.7").items()))
        assert refused(caught.value)[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "server.too_many_calls")
        await api.open.ctrl.Liveness(ctrl_pb2.LivenessRequest(), metadata=tuple(through("203.0.113.8").items()))
        await api.admin.ctrl.GetServerInfo(ctrl_pb2.GetServerInfoRequest())
        async with aiohttp.ClientSession(api.http) as http:
            path = "/sealift.ctrl.v1.CtrlService/Liveness"
            for address, status in (("203.0.113.7", 429), ("203.0.113.8", 200)):
                async with http.post(path, json={}, headers=through(address)) as answer:
                    assert answer.status == status
    finally:
        for stream in held:
            stream.cancel()
