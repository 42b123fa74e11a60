"""The aiohttp application of the HTTP listener."""

from collections.abc import Iterable
from typing import Literal

from aiohttp import web

from pkg.observability.metrics import Metrics
from pkg.observability.tracing import Tracing
from pkg.storage.port import ObjectStore
from svc.api.http import connect, metrics
from svc.api.http.fairness import bounded_by
from svc.api.http.health import Health
from svc.api.http.transfers import traced_transfers
from svc.api.rpc import Clients, RpcPipeline, Service


def make_app(
    *,
    health: Health,
    registry: Metrics,
    metrics_from: Literal["loopback", "any"],
    store: ObjectStore,
    services: Iterable[Service],
    pipeline: RpcPipeline,
    tracing: Tracing,
    clients: Clients,
) -> web.Application:
    """Every route of the HTTP listener."""
    traced = [traced_transfers(tracing)] if tracing.enabled else []
    app = web.Application(middlewares=[bounded_by(clients), *traced])
    health.add_routes(app)
    metrics.add_routes(app, registry, metrics_from)
    app.add_routes(store.routes())
    connect.add_routes(app, services, pipeline)
    return app
