import asyncio
import json

import aiohttp
import pytest
from aiohttp import web

from pkg.testing.wait import WAIT_S
from svc.krane.ingress.listener import MAX_LOGGED_CHARS
from svc.krane.ingress.port import Endpoint
from svc.krane.ingress.testing import Connection, IngressHarness, Upstream, get, until
from svc.krane.testing.routes import routes_to

HOST = "app.sealift.localhost"


@pytest.fixture
async def served(up: IngressHarness, apps: list[Upstream]) -> IngressHarness:
    """HOST is served by upstream a."""
    up.ingress.set_endpoints("dep_a", [apps[0].endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
    assert (await up.ingress.wait_version(1, WAIT_S)).version == 1
    return up


async def test_answers_carry_the_deployment_and_are_the_apps_own(served: IngressHarness) -> None:
    """A user sees which deployment answered; the app's server header is left alone."""
    reply = await get(served.port, HOST)
    assert reply.headers["x-sealift-deployment"] == "dep_a"
    assert reply.headers["server"] == "app"
    assert reply.headers["x-request-id"]
    assert not any(name.startswith("x-envoy") for name in reply.headers)


async def test_a_host_without_instance_gets_a_503_that_says_so(served: IngressHarness, apps: list[Upstream]) -> None:
    """Not a bare gateway error."""
    served.ingress.set_endpoints("dep_a", [apps[0].endpoint(healthy=False)])
    for _ in range(200):
        reply = await get(served.port, HOST)
        if reply.status == 503:
            break
        await asyncio.sleep(0.01)
    assert reply.status == 503
    assert reply.headers["retry-after"] == "1"
    assert reply.headers["x-sealift-deployment"] == "dep_a"
    assert f"{HOST} has no healthy instance" in reply.body
    assert "`sealift status dep_a`" in reply.body


async def test_a_dead_instance_is_skipped_and_its_absence_explained(
    served: IngressHarness, apps: list[Upstream]
) -> None:
    """Between a crash and krane's next probe, requests go to the other replica; without one the answer says why."""
    a, b, _ = apps
    served.ingress.set_endpoints("dep_a", [a.endpoint(), b.endpoint()])
    bodies = set()
    for _ in range(200):
        bodies.add((await get(served.port, HOST)).body)
        if bodies == {"a", "b"}:
            break
    dead = a.endpoint()
    await a.stop()
    connection = Connection(served.port)
    for method in ("GET", "POST") * 15:
        reply = await connection.request(HOST, method=method)
        assert (reply.status, reply.body) == (200, "b")
    connection.close()
    served.ingress.set_endpoints("dep_a", [dead])
    for _ in range(200):
        reply = await get(served.port, HOST)
        if reply.status == 503:
            break
        await asyncio.sleep(0.01)
    assert "takes no connection" in reply.body
    assert "`sealift status dep_a`" in reply.body


async def test_websockets_pass(up: IngressHarness) -> None:
    """An upgrade works and stays open after the route moved away: only new connections go to the new version."""

    async def echo(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            await websocket.send_str(f"echo:{message.data}")
        return websocket

    app = web.Application()
    app.router.add_get("/ws", echo)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    other = await Upstream("other").start()
    try:
        up.ingress.set_endpoints("dep_ws", [Endpoint("127.0.0.1", runner.addresses[0][1], healthy=True)])
        up.ingress.set_endpoints("dep_b", [other.endpoint()])
        up.ingress.set_routes(routes_to({HOST: "dep_ws"}), 1)
        await up.ingress.wait_version(1, WAIT_S)
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"http://127.0.0.1:{up.port}/ws", headers={"host": HOST}) as websocket,
        ):
            await websocket.send_str("one")
            assert (await websocket.receive(5)).data == "echo:one"
            up.ingress.set_routes(routes_to({HOST: "dep_b"}), 2)
            await up.ingress.wait_version(2, WAIT_S)
            assert await up.ingress.wait_unlisted("dep_ws", WAIT_S)
            await websocket.send_str("two")
            assert (await websocket.receive(5)).data == "echo:two"
            assert (await get(up.port, HOST)).body == "other"
    finally:
        await other.stop()
        await runner.cleanup()


async def test_the_access_log_is_json(served: IngressHarness) -> None:
    """Each request leaves one line under the names used everywhere, without its query."""
    await get(served.port, HOST, "/path?q=1")
    log = served.directory / "access.log"
    await served.envoy.admin("/reopen_logs", "POST")
    await until(lambda: log.exists() and log.read_text().count("\n") > 0, "the line is written", 15)
    line = json.loads(log.read_text().splitlines()[-1])
    assert (line["hostname"], line["path"], line["status"], line["deployment_id"]) == (HOST, "/path", 200, "dep_a")


async def test_the_access_log_is_bounded(served: IngressHarness) -> None:
    """What a client may make as long as it likes is cut there, visibly; what is as long as it may be is not."""
    fits, long = "/" + "a" * (MAX_LOGGED_CHARS - 1), "/" + "b" * 30_000
    for path in (f"{fits}?x=1", long):
        assert (await get(served.port, HOST, path)).status == 200
    await ask_nonsense(served.port)
    log = served.directory / "access.log"
    await served.envoy.admin("/reopen_logs", "POST")
    await until(lambda: log.exists() and log.read_text().count("\n") > 2, "the lines are written", 60)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["path"] for line in lines[:2]] == [fits, long[:MAX_LOGGED_CHARS] + "..."]
    assert [line["method"] for line in lines] == ["GET", "GET", "-"]
    assert [line["hostname"] for line in lines] == [HOST, HOST, "-"]
    assert not any("..." in line["request_id"] or line["request_id"].endswith("--") for line in lines)


async def ask_nonsense(port: int) -> None:
    """What is no request leaves a line, too."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"nonsense\r\n\r\n")
    assert b" 400 " in await reader.read()
    writer.close()
