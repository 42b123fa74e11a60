"""The optional listener of a service without an HTTP API: /metrics and /health."""

import socket
from collections.abc import Callable

from aiohttp import web

from pkg.config.sections import split_address
from pkg.lifecycle import Runner
from pkg.listener import Limits, Listener
from pkg.listener.listener import KEEP_ALIVE
from pkg.observability.metrics import Metrics


async def serve(
    address: str,
    metrics: Metrics,
    is_ready: Callable[[], bool],
    runner: Runner,
    is_started: Callable[[], bool] | None = None,
) -> None:
    """Listens until the runner stops.

    /health/live answers 200 while the loop turns, /health/ready while `is_ready`, /health/startup while `is_started`
    (default: `is_ready`); else 503.

    Raises:
        OSError: the port is taken.
    """

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    def unless_stopping(is_so: bool) -> web.Response:
        if is_so and not runner.stopping.is_set():
            return web.json_response({"status": "ok"})
        return web.json_response({"status": "starting"}, status=503)

    async def ready(_: web.Request) -> web.Response:
        return unless_stopping(is_ready())

    async def started(_: web.Request) -> web.Response:
        return unless_stopping((is_started or is_ready)())

    async def render(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": metrics.content_type})

    app = web.Application()
    app.add_routes([
        web.get("/health", live),
        web.get("/health/live", live),
        web.get("/health/ready", ready),
        web.get("/health/startup", started),
        web.get("/metrics", render),
    ])  # fmt: skip
    host, port = split_address(address)
    sock = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener = Listener("the listener of metrics", sock, Limits(connections=64, per_peer=64))
    app.middlewares.append(listener.middleware)
    server = web.AppRunner(app, access_log=None, shutdown_timeout=1, logger=listener.logger, **KEEP_ALIVE)
    await server.setup()
    runner.defer("http", server.cleanup)
    assert server.server is not None
    runner.spawn("ops listener", listener.serve(server.server))
