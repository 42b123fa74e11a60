"""Domains of users at a real Envoy: they come and go without a connection noticing, and wildcards give way."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from pkg.testing.wait import WAIT_S
from svc.krane.ingress.port import Endpoint
from svc.krane.ingress.testing import IngressHarness, Upstream, get
from svc.krane.testing.routes import routes_to

HOST = "hello.sealift.localhost"


@pytest.fixture
async def echo() -> AsyncIterator[Endpoint]:
    """An app that sends back what comes over a websocket."""

    async def answer(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            await websocket.send_str(message.data)
        return websocket

    app = web.Application()
    app.router.add_get("/ws", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Endpoint("127.0.0.1", runner.addresses[0][1], healthy=True)
    await runner.cleanup()


async def _stat(up: IngressHarness, name: str) -> int:
    text = await up.envoy.admin(f"/stats?filter=^{name}$&usedonly")
    return sum(int(line.rpartition(":")[2]) for line in text.splitlines() if ":" in line)


async def test_a_websocket_stays_open_while_domains_come_and_go(up: IngressHarness, echo: Endpoint) -> None:
    """Promise: adding or removing a domain changes no listener and drains no connection."""
    up.ingress.set_endpoints("dep_a", [echo])
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
    assert (await up.ingress.wait_version(1, WAIT_S)).version == 1
    listeners = await _stat(up, "listener_manager.lds.update_success")
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(f"http://127.0.0.1:{up.port}/ws", headers={"host": HOST}) as websocket,
    ):
        hosts = {HOST: "dep_a"}
        version = 1
        for number in range(100):
            hosts[f"www{number}.shop.test"] = "dep_a"
            version += 1
            up.ingress.set_routes(routes_to(hosts), version)
            assert (await up.ingress.wait_version(version, WAIT_S)).version == version
            await websocket.send_str(f"added {number}")
            assert (await websocket.receive(WAIT_S)).data == f"added {number}"
        async with client.ws_connect(f"http://127.0.0.1:{up.port}/ws", headers={"host": "www99.shop.test"}) as second:
            await second.send_str("by a domain")
            assert (await second.receive(WAIT_S)).data == "by a domain"
            up.ingress.set_routes(routes_to({HOST: "dep_a"}), version + 1)
            assert (await up.ingress.wait_version(version + 1, WAIT_S)).version == version + 1
            await second.send_str("after its removal")
            assert (await second.receive(WAIT_S)).data == "after its removal"
        await websocket.send_str("still here")
        assert (await websocket.receive(WAIT_S)).data == "still here"
    assert (await get(up.port, "www99.shop.test")).status == 404
    assert await _stat(up, "listener_manager.lds.update_success") == listeners
    assert await _stat(up, "listener_manager.total_listeners_draining") == 0


async def test_a_wildcard_gives_way_to_what_is_more_exact(up: IngressHarness, apps: list[Upstream]) -> None:
    """Promise: the exact route of a name serves it, else the longest wildcard; the base of a wildcard is no part."""
    for upstream in apps:
        up.ingress.set_endpoints(f"dep_{upstream.name}", [upstream.endpoint()])
    routes = {"*.shop.test": "dep_a", "www.shop.test": "dep_b", "*.eu.shop.test": "dep_c"}
    up.ingress.set_routes(routes_to(routes), 1)
    assert (await up.ingress.wait_version(1, WAIT_S)).version == 1
    answers = await asyncio.gather(
        *(
            get(up.port, host)
            for host in ("x.shop.test", "x.y.shop.test", "X.shop.test.:80", "www.shop.test", "x.eu.shop.test")
        )
    )
    assert [answer.body for answer in answers] == ["a", "a", "a", "b", "c"]
    assert (await get(up.port, "shop.test")).status == 404
