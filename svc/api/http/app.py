"""The aiohttp application of the HTTP listener."""

from collections.abc import Iterable
from typing import Literal

from aiohttp import web

from pkg.observability.metrics import Metrics
from pkg.observability.tracing import Tracing
from pkg.storage.port import ObjectStore
from svc.api.http import connect, metrics
from svc.api.http.health import Health
from svc.api.http.transfers import traced_transfers
from svc.api.rpc import RpcPipeline, Service

MAX_BODY_BYTES = 4 << 20  # of JSON, the same as gRPC's default; uploads are streamed and have their own bound


def make_app(
    *,
    health: Health,
    registry: Metrics,
    metrics_from: Literal["loopback", "any"],
    store: ObjectStore,
    services: Iterable[Service],
    pipeline: RpcPipeline,
    tracing: Tracing,
) -> web.Application:
    """Every route of the HTTP listener."""
    app = web.Application(
        client_max_size=MAX_BODY_BYTES, middlewares=[traced_transfers(tracing)] if tracing.enabled else []
    )
    health.add_routes(app)
    metrics.add_routes(app, registry, metrics_from)
    app.add_routes(store.routes())
    connect.add_routes(app, services, pipeline)
    return app
