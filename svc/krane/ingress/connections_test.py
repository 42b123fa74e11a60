"""No request is sent twice, and none is lost to a connection that the app closes."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from pkg.testing.ports import free_port
from pkg.testing.wait import WAIT_S
from svc.krane.ingress.port import Applied, Endpoint
from svc.krane.ingress.resources import SHARE_KEY
from svc.krane.ingress.sharing import ConnectionSharing
from svc.krane.ingress.testing import IngressHarness
from svc.krane.ingress.testing_raw import Call, CloseConnection, Raw, RawApp, raw_app
from svc.krane.testing.routes import routes_to

HOST = Raw.HOST


async def serve(up: IngressHarness, *endpoints: Endpoint) -> Raw:
    """HOST is served by these instances; the app of the result is the caller's to set."""
    up.ingress.set_endpoints("dep_a", list(endpoints))
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
    assert await up.ingress.wait_version(1, WAIT_S) == Applied(1, [])
    return Raw(up.port, RawApp())


@contextlib.asynccontextmanager
async def sharing(up: IngressHarness) -> AsyncIterator[None]:
    """krane decides which deployments share connections, ten times as often as usual."""
    task = asyncio.create_task(ConnectionSharing(up.envoy.admin_socket, 0.1).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def load(raw: Raw, request: bytes, clients: int = 20, each: int = 100) -> Counter[int]:
    """Answers by status of many requests on kept connections."""
    found: Counter[int] = Counter()

    async def client() -> None:
        connection = await raw.connect()
        for _ in range(each):
            await connection.send(request)
            found[(await connection.answer()).status] += 1
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return found


async def answer_and_close(call: Call) -> None:
    """Closes after the answer without having said so, as some servers do."""
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    raise CloseConnection


@pytest.mark.parametrize("method", ["POST", "DELETE", "GET with a body", "GET"])
async def test_an_app_that_closes_unannounced_loses_no_request(up: IngressHarness, method: str) -> None:
    """2,000 requests on kept client connections: none meets a connection that is about to be closed."""
    async with raw_app() as app:
        app.on("/", answer_and_close)
        raw = await serve(up, app.endpoint())
        request = raw.request("/", b"Content-Length: 3", method=method.split(" ", maxsplit=1)[0]) + b"a=1"
        failures: Counter[bytes] = Counter()

        async def client(count: int) -> None:
            connection = await raw.connect()
            for _ in range(count):
                await connection.send(request)
                answer = await connection.answer()
                if answer.status != 200:
                    failures[answer.start] += 1
            connection.close()

        await asyncio.gather(*(client(100) for _ in range(20)))
        assert failures == {}
        assert len(app.requests) == 2000


@pytest.mark.parametrize(
    ("first", "own_connection"),
    [
        (b"GET / HTTP/1.1", False),
        (b"HEAD / HTTP/1.1", False),
        (b"OPTIONS / HTTP/1.1", False),
        (b"POST / HTTP/1.1", True),
        (b"PUT / HTTP/1.1", True),
        (b"PATCH / HTTP/1.1", True),
        (b"DELETE / HTTP/1.1", True),
        (b"PROPFIND / HTTP/1.1", True),
        (b"GET / HTTP/1.1\r\nContent-Length: 0", True),
        (b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket", True),
    ],
)
async def test_only_harmless_requests_share_a_connection(
    up: IngressHarness, first: bytes, *, own_connection: bool
) -> None:
    """Those without a body that may be repeated; the app learns that the connection of another ends."""
    async with raw_app() as app:
        app.on("/", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        raw = await serve(up, app.endpoint())
        await up.envoy.admin(f"/runtime_modify?{SHARE_KEY}dep_a=100", "POST")
        client = await raw.connect()  # one: each of Envoy's threads has connections of its own
        await client.send(raw.request("/"))
        await client.answer()
        await client.send(first + f"\r\nHost: {HOST}\r\n\r\n".encode())
        await client.answer(to_head=first.startswith(b"HEAD"))
        client.close()
        assert app.connections == (2 if own_connection else 1)
        said = app.last.one("connection")
        assert said == (b"Upgrade" if b"Upgrade" in first else b"close" if own_connection else None)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_request_that_reached_an_app_is_not_sent_again(up: IngressHarness, method: str) -> None:
    """One request that kills its instance must not kill the next one, too."""

    async def die(call: Call) -> None:
        raise CloseConnection

    async with raw_app() as a, raw_app() as b:
        for app in (a, b):
            app.on("/", die)
        raw = await serve(up, a.endpoint(), b.endpoint())
        assert (await raw.ask(method=method)).status == 502
        assert len(a.requests) + len(b.requests) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_reached_no_app_is_sent_to_another(up: IngressHarness, method: str) -> None:
    """An instance that takes no connection costs nobody an answer while another one does."""
    async with raw_app() as app:
        gone = Endpoint("127.0.0.1", free_port(), healthy=True)
        raw = await serve(up, gone, app.endpoint())
        for _ in range(10):
            headers = [b"Content-Length: 1"] if method == "POST" else []
            answer = await raw.ask("/", *headers, method=method, body=b"x" if headers else b"")
            assert answer.status == 200
        assert len(app.requests) == 10


async def test_kept_connections_end_before_the_app_closes_them(up: IngressHarness) -> None:
    """gunicorn closes after 2 s without a request, Node and uvicorn after 5 s: the ingress is first."""
    closed = asyncio.Event()

    async def answer(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert await call.reader.read(1) == b""
        closed.set()
        raise CloseConnection

    async with raw_app() as app:
        app.on("/", answer)
        raw = await serve(up, app.endpoint())
        await up.envoy.admin(f"/runtime_modify?{SHARE_KEY}dep_a=100", "POST")
        client = await raw.connect()
        await client.send(raw.request("/"))
        await client.answer()
        await asyncio.wait_for(closed.wait(), WAIT_S)
        client.close()


async def test_an_app_that_keeps_its_connections_is_asked_on_them(up: IngressHarness) -> None:
    """Once it was seen to close none unannounced; a new Envoy begins with one request a connection.

    Idle connections are dropped after a while, so on a busy machine some of 2,000 requests open new ones.
    """
    async with raw_app() as app:
        raw = await serve(up, app.endpoint())
        await load(raw, raw.request("/"), each=5)
        assert app.connections == 100
        async with sharing(up):
            await load(raw, raw.request("/"), each=5)
            await until_shared(up, "dep_a")
            before = app.connections
            await load(raw, raw.request("/"))
            assert app.connections - before <= 100


async def test_an_app_that_begins_to_close_unannounced_is_noticed(up: IngressHarness) -> None:
    """From then on no request fails."""
    async with raw_app() as app:
        raw = await serve(up, app.endpoint())
        app.on("/closing", answer_and_close)
        async with sharing(up):
            await load(raw, raw.request("/"), each=5)
            await until_shared(up, "dep_a")
            await load(raw, raw.request("/closing"), each=5)
            await until_shared(up, "dep_a", shared=False)
            assert await load(raw, raw.request("/closing")) == {200: 2000}


async def until_shared(up: IngressHarness, deployment_id: str, *, shared: bool = True) -> None:
    """Asks Envoy itself."""
    async with asyncio.timeout(WAIT_S):
        while (SHARE_KEY + deployment_id in await up.envoy.admin("/runtime")) is not shared:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # Envoy notifies nobody
