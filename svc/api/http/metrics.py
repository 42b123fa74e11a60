"""/metrics: no key, hence for peers on loopback only, unless set otherwise."""

from ipaddress import ip_address
from typing import Literal

from aiohttp import web

from pkg.observability.metrics import Metrics


def add_routes(app: web.Application, metrics: Metrics, metrics_from: Literal["loopback", "any"]) -> None:
    """Serves /metrics."""

    async def show(request: web.Request) -> web.Response:
        if metrics_from == "loopback" and not _is_from_loopback(request):
            return web.Response(status=403, text="metrics are for peers on loopback (http.metrics_from)\n")
        return web.Response(body=metrics.render(), headers={"Content-Type": metrics.content_type})

    app.router.add_get("/metrics", show)


def _is_from_loopback(request: web.Request) -> bool:
    # behind a proxy on this machine every peer looks local
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    try:
        return isinstance(peer, tuple) and ip_address(str(peer[0])).is_loopback
    except ValueError:
        return False
