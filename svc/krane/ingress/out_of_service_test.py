"""Promise: an Envoy out of service answers and keeps no connection; in service it keeps them again. A real Envoy."""

import asyncio
import socket

from pkg.testing.wait import WAIT_S
from svc.krane.ingress.out_of_service import OutOfService
from svc.krane.ingress.testing import Connection, IngressHarness, Upstream, until
from svc.krane.testing.routes import routes_to

HOST = "a.example"


async def test_a_replica_out_of_service_lets_its_clients_go(up: IngressHarness, apps: list[Upstream]) -> None:
    """No request fails meanwhile; an Envoy that is started again is told again."""
    up.ingress.set_endpoints("dep_a", [apps[0].endpoint()])
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 1)
    await up.ingress.wait_version(1, WAIT_S)
    is_allowed = True

    async def is_kept() -> bool:
        connection = Connection(up.port)
        try:
            reply = await connection.request(HOST)
        finally:
            connection.close()
        assert (reply.status, reply.body) == (200, "a")
        return reply.headers.get("connection") != "close"

    async def until_kept(wanted: bool) -> None:
        async with asyncio.timeout(WAIT_S):
            while await is_kept() is not wanted:  # noqa: ASYNC110 - Envoy notifies nobody
                await asyncio.sleep(0.05)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", up.port)) == 0

    task = asyncio.create_task(OutOfService(up.envoy.admin_socket, lambda: is_allowed).run())
    try:
        await until_kept(True)
        is_allowed = False
        await until_kept(False)
        up.envoy.kill()
        up.envoy.start()
        await until(listens, "envoy is back")
        await until_kept(False)
        is_allowed = True
        await until_kept(True)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
