"""What a real Envoy counts, by deployment, class and who answered."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from pkg.access import AccessFigures, Answers
from pkg.access.latency import percentile_us
from pkg.clock import now_ms
from pkg.ids import new_id
from pkg.testing.wait import WAIT_S
from svc.krane.ingress.access_stats import AccessStats, Reading
from svc.krane.ingress.port import Endpoint
from svc.krane.ingress.testing import IngressHarness
from svc.krane.ingress.testing_raw import RawClient
from svc.krane.testing.routes import routes_to

HOST = "app.example"
SLOW_S = 0.2


async def answer(request: web.Request) -> web.StreamResponse:
    """The status of the path; "/slow" answers later, "/ws" echoes, "/grpc/N" ends a call, "/cut" ends in the middle."""
    path = request.path
    if path == "/ws":
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            await websocket.send_str(message.data)
        return websocket
    if path == "/slow":
        await asyncio.sleep(SLOW_S)
        return web.Response(text="slow")
    if path.startswith("/grpc/"):
        headers = {"content-type": "application/grpc", "grpc-status": path.rpartition("/")[2]}
        return web.Response(headers=headers)
    if path == "/cut":
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(request)
        await response.write(b"begun")
        assert request.transport is not None
        request.transport.close()
        return response
    await request.read()
    return web.Response(status=int(path[1:]), text="x" * 10)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
async def deployment_id(up: IngressHarness, port: int) -> str:
    made = new_id("dep")
    up.ingress.set_endpoints(made, [Endpoint("127.0.0.1", port, healthy=True)])
    up.ingress.set_routes(routes_to({HOST: made}), 1)
    await up.ingress.wait_version(1, WAIT_S)
    return made


async def read_until(up: IngressHarness, deployment_id: str, requests: int, measured: int = 0) -> AccessFigures:
    """The figures of the deployment once Envoy has counted as many; it merges its histograms every 5 s."""
    stats = AccessStats(up.envoy.admin_socket, now_ms)
    async with asyncio.timeout(WAIT_S):
        while True:
            found = (await stats.read()).figures.get(deployment_id, AccessFigures())
            if found.requests >= requests and sum(found.latencies.values()) >= measured:
                return found
            await asyncio.sleep(0.1)


async def test_answers_are_counted_by_class_and_by_who_gave_them(up: IngressHarness, deployment_id: str) -> None:
    """Promise: answers of the app and of the ingress are told apart; bytes are counted; a gRPC call counts by its
    status; Envoy has nothing to complain about."""
    url = f"http://127.0.0.1:{up.port}"
    async with aiohttp.ClientSession(headers={"host": HOST}) as client:

        async def call(path: str, **kwargs: object) -> None:
            with contextlib.suppress(aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError):
                async with client.post(url + path, allow_redirects=False, **kwargs) as response:  # type: ignore[arg-type]
                    await response.read()

        for path in ("/200", "/201", "/302", "/404", "/500", "/503", "/cut", "/slow"):
            await call(path, data=b"12345")
        for status in (0, 5, 13):
            await call(f"/grpc/{status}", headers={"content-type": "application/grpc"})
        async with client.ws_connect(url + "/ws") as websocket:
            await websocket.send_str("hello")
            assert (await websocket.receive(5)).data == "hello"
        up.ingress.set_endpoints(deployment_id, [])
        async with asyncio.timeout(WAIT_S):
            while True:
                async with client.get(url + "/200") as response:
                    if response.status == 503:
                        break
    found = await read_until(up, deployment_id, 13, 10)
    assert found.app.status_1xx == 1
    assert (found.app.status_3xx, found.app.status_4xx, found.app.status_5xx) == (1, 2, 3)
    assert found.app.status_2xx >= 5
    assert found.ingress.status_5xx >= 1
    assert found.bytes_in >= 8 * 100
    assert found.bytes_out >= 6 * 100
    slowest = percentile_us(found.latencies, 100)
    assert slowest is not None
    assert SLOW_S * 0.92e6 <= slowest < 5e6
    assert "misc" not in up.envoy.log


async def test_an_app_makes_no_counters(up: IngressHarness, deployment_id: str) -> None:
    """Promise: whatever an app says is its gRPC status, it takes no counters from others; it counts as a failure."""
    url = f"http://127.0.0.1:{up.port}"
    async with aiohttp.ClientSession(headers={"host": HOST, "content-type": "application/grpc"}) as client:
        for status in range(100, 140):
            async with client.post(f"{url}/grpc/{status}") as response:
                await response.read()
    found = await read_until(up, deployment_id, 40)
    assert found.app == Answers(status_5xx=40)
    lines = await up.envoy.admin("/stats?filter=^access\\.requests")
    assert len(lines.splitlines()) == 1


async def test_a_client_that_leaves_got_no_answer(up: IngressHarness, deployment_id: str) -> None:
    """Promise: such a request is neither an error of the app nor of the ingress."""
    client = await RawClient.connect(up.port)
    await client.send(f"GET /slow HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode())
    await asyncio.sleep(SLOW_S / 4)
    client.close()
    found = await read_until(up, deployment_id, 1)
    assert (found.unanswered, sum(found.app), sum(found.ingress)) == (1, 0, 0)


async def test_what_no_deployment_got(up: IngressHarness, deployment_id: str) -> None:
    """Promise: unknown hostnames are counted apart from every deployment, as the ingress's answers."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{up.port}/", headers={"host": "unknown.example"}) as response,
    ):
        assert response.status == 404
    found = await read_until(up, "", 1)
    assert (found.ingress, found.app) == (Answers(status_4xx=1), Answers())


async def test_every_way_in_counts_once(up: IngressHarness, deployment_id: str) -> None:
    """Promise: what comes from a trusted proxy adds up with all else, once."""
    for source in ("127.0.0.1", "127.0.0.9"):
        client = await RawClient.connect(up.port, source)
        await client.send(f"GET /200 HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode())
        assert (await client.answer()).status == 200
        client.close()
    found = await read_until(up, deployment_id, 2, 2)
    assert (found.app, sum(found.latencies.values())) == (Answers(status_2xx=2), 2)


async def test_a_restart_shows(up: IngressHarness, deployment_id: str) -> None:
    """Promise: two readings of one Envoy name the same start, those of two Envoys another one."""
    stats = AccessStats(up.envoy.admin_socket, now_ms)
    first, second = await stats.read(), await stats.read()
    assert abs(first.started_at - second.started_at) <= 1500
    up.envoy.kill()
    await asyncio.sleep(2.5)
    up.envoy.start()
    again: Reading | None = None
    async with asyncio.timeout(WAIT_S):
        while again is None:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                again = await stats.read()
            await asyncio.sleep(0.05)
    assert again.started_at - second.started_at > 1500
    assert again.figures == {}
