import asyncio
import socket
from pathlib import Path

import pytest

from pkg.errors import Unavailable
from pkg.testing.wait import WAIT_S
from svc.krane.ingress.ads import AdsServer
from svc.krane.ingress.port import Applied
from svc.krane.ingress.testing import Connection, IngressHarness, Upstream, get, running_ingress, until
from svc.krane.testing.routes import routes_to

HOST = "app.sealift.localhost"


async def serve(up: IngressHarness, upstream: Upstream, version: int = 1) -> None:
    up.ingress.set_endpoints("dep_a", [upstream.endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), version)
    assert await up.ingress.wait_version(version, WAIT_S) == Applied(version, [])


async def test_nothing_is_answered_before_ready(short_dir: Path, apps: list[Upstream]) -> None:
    """Envoy opens no listener on an incomplete table: better no answer than a wrong 404."""
    async with running_ingress(short_dir, ready=False) as up:
        up.ingress.set_endpoints("dep_a", [apps[0].endpoint()])
        up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
        await until(lambda: up.ingress.connected, "envoy connects")
        assert (await up.ingress.wait_version(1, 0.5)).version == 0
        with pytest.raises(ConnectionRefusedError):
            await get(up.port, HOST)
        up.ingress.mark_ready()
        assert (await up.ingress.wait_version(1, WAIT_S)).version == 1
        assert (await get(up.port, HOST)).body == "a"


async def test_envoy_serves_again_after_kill_9(up: IngressHarness, apps: list[Upstream]) -> None:
    """A new Envoy gets everything, and nothing counts as applied before it acknowledged."""
    await serve(up, apps[0], 7)
    up.envoy.kill()
    await until(lambda: up.ingress.applied_version == 0, "the loss is noticed")
    up.ingress.set_endpoints("dep_b", [apps[1].endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a", "b.sealift.localhost": "dep_b"}), 8)
    assert (await up.ingress.wait_version(7, 0.1)).version == 0
    up.envoy.start()
    assert await up.ingress.wait_version(8, WAIT_S) == Applied(8, [])
    assert (await get(up.port, HOST)).body == "a"
    assert (await get(up.port, "b.sealift.localhost")).body == "b"


async def test_a_restart_of_krane_leaves_no_gap(up: IngressHarness, apps: list[Upstream]) -> None:
    """While krane is away and until it is ready again, Envoy serves what it had, request after request."""
    a, b, _ = apps
    await serve(up, a)
    connection, failed, served = Connection(up.port), [], 0
    stop = asyncio.Event()

    async def client() -> None:
        nonlocal served
        while not stop.is_set():
            for reply in (await connection.request(HOST), await get(up.port, HOST)):
                served += 1
                if reply.status != 200:
                    failed.append(reply)
            await asyncio.sleep(0.002)

    task = asyncio.create_task(client())
    await up.server.stop()
    up.new_ingress()  # knows nothing of dep_a, and the route has moved meanwhile
    await up.server.start()
    await until(lambda: up.ingress.connected, "envoy reconnects")
    assert up.ingress.lists("dep_a")  # it cannot know better
    before = served
    await until(lambda: served > before + 20, "requests go on before ready")
    up.ingress.set_endpoints("dep_b", [b.endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_b"}), 9)
    up.ingress.mark_ready()
    assert await up.ingress.wait_version(9, WAIT_S) == Applied(9, [])
    assert not up.ingress.lists("dep_a")
    before = served
    await until(lambda: served > before + 20, "requests go on after the change")
    stop.set()
    await task
    connection.close()
    assert not failed
    assert (await get(up.port, HOST)).body == "b"
    for _ in range(300):  # the cluster of the earlier krane leaves after the drain
        if "dep_a::" not in await up.envoy.admin("/clusters"):
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError("dep_a stayed")


async def test_a_taken_port_is_told_and_tried_again(short_dir: Path, apps: list[Upstream]) -> None:
    """The reason reaches the controller, and Envoy listens once the port is free."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        async with running_ingress(short_dir, ready=False) as up:
            up.port = holder.getsockname()[1]
            await up.server.stop()
            up.new_ingress()
            await up.server.start()
            up.ingress.mark_ready()
            up.ingress.set_endpoints("dep_a", [apps[0].endpoint()])
            up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
            assert await up.ingress.wait_nacks([], WAIT_S)
            applied = await up.ingress.wait_version(1, 0.1)
            assert applied.version == 0
            assert [n.hostname for n in applied.nacks] == [""]
            assert "ddress already in use" in applied.nacks[0].message
            holder.close()
            assert await up.ingress.wait_version(1, WAIT_S) == Applied(1, [])
            assert (await get(up.port, HOST)).body == "a"


async def test_a_stopped_envoy_does_not_stop_the_rest(up: IngressHarness, apps: list[Upstream]) -> None:
    """With Envoy away waits end in time, and calls keep working."""
    await serve(up, apps[0])
    up.envoy.kill()
    await until(lambda: not up.ingress.connected, "the loss is noticed")
    up.ingress.set_endpoints("dep_b", [apps[1].endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_b"}), 2)
    assert (await up.ingress.wait_version(2, 0.2)).version == 0
    assert not await up.ingress.wait_unlisted("dep_a", 0.2)  # an Envoy that is only out of reach may still send there


async def test_the_socket_is_private_and_replaces_a_stale_one(up: IngressHarness) -> None:
    """Only the owner can talk to the control plane, and a crash leaves nothing in the way."""
    path = up.envoy.ads_socket
    assert path.stat().st_mode & 0o777 == 0o600
    await up.server.stop()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    await up.server.start()
    await until(lambda: up.ingress.connected, "envoy reconnects")


async def test_an_impossible_socket_is_explained(up: IngressHarness, short_dir: Path) -> None:
    """The operator learns which path and what to do."""
    for path in (short_dir / ("x" * 120), short_dir / "missing" / "ads.sock"):
        with pytest.raises(Unavailable, match="director"):
            await AdsServer(up.ingress, path).start()
