"""What krane's reconcilers work with."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from pkg.observability.tracing import Tracing
from svc.krane.controller.desired import DesiredState
from svc.krane.controller.endpoints import Endpoints
from svc.krane.controller.log_shipping import LogShipping
from svc.krane.controller.releases import Releases
from svc.krane.controller.reports import Reporter
from svc.krane.controller.usage_reports import UsageReports
from svc.krane.ingress.port import Ingress
from svc.krane.metrics import KraneMetrics
from svc.krane.runtime.port import Runtime

STOP_GRACE_S = 10
DRAIN_S = 5.0


@dataclass(frozen=True)
class KraneDeps:
    """What every deployment's reconciler works with.

    Attributes:
        endpoints: reports the endpoints of instances to the ingress; `ingress` is for everything else.
        logs, usage: told of every instance that was observed.
        engine_found: set once the runtime has answered in this process; it is not called before.
        stop_grace_s: how long an app may take to stop before it is killed.
        drain_s: how long requests under way have before an instance ends beside which others serve.
        retry_s: first and longest wait before a failed instance of a serving deployment is replaced.
        monotonic: seconds that no change of the wall clock moves; deadlines are counted by it.
    """

    runtime: Runtime
    ingress: Ingress
    endpoints: Endpoints
    reporter: Reporter
    releases: Releases
    logs: LogShipping
    usage: UsageReports
    desired: DesiredState
    engine_found: asyncio.Event
    tracing: Tracing
    metrics: KraneMetrics
    monotonic: Callable[[], float] = time.monotonic
    stop_grace_s: int = STOP_GRACE_S
    drain_s: float = DRAIN_S
    retry_s: tuple[float, float] = (30.0, 300.0)
