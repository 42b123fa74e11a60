"""GET /metrics for Prometheus."""

from aiohttp import web

from pkg.config.sections import split_address
from pkg.lifecycle import Runner
from pkg.observability.metrics import Metrics


async def serve_metrics(runner: Runner, metrics: Metrics, listen: str) -> None:
    """Serves until the runner stops."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": metrics.content_type})

    app = web.Application()
    app.router.add_get("/metrics", answer)
    site_runner = web.AppRunner(app, access_log=None)
    await site_runner.setup()
    runner.defer("metrics", site_runner.cleanup)
    host, port = split_address(listen)
    await web.TCPSite(site_runner, host, port).start()
