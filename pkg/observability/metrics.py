"""Prometheus metrics of one process, on a separate registry.

Every service has the same five families, so that one dashboard reads them all:

    sealift_deploy_duration_seconds{outcome}     recorded -> terminal status
    sealift_build_duration_seconds{outcome}      claimed -> terminal status
    sealift_rpc_duration_seconds{method,code}    RPCs answered, by gRPC status name
    sealift_reconcile_lag_seconds{region}        desired-state change committed -> applied
    sealift_kept_bytes{kind}                     disk use of what retention bounds, as the last sweep left it

The `_count` of each duration is how many. `target_info` names the service and its instance (service.instance.id).
"""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_DEPLOY_BUCKETS_S = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)
_RPC_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
_LAG_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Metrics:
    """The metrics of one process. Safe from any thread; made once per process, in its run.py.

    Attributes:
        registry: where everything is registered; nothing uses prometheus_client's global one.
        content_type: of what `render` returns.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, service: str, instance_id: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        target = Info("target", "Who this is.", registry=self.registry)
        target.info({"service_name": service, "service_instance_id": instance_id})
        self._deploys = self.histogram(
            "deploy_duration_seconds", "Deploys by outcome.", ["outcome"], buckets=_DEPLOY_BUCKETS_S
        )
        self._builds = self.histogram(
            "build_duration_seconds", "Builds by outcome.", ["outcome"], buckets=_DEPLOY_BUCKETS_S
        )
        self._rpcs = self.histogram(
            "rpc_duration_seconds", "RPCs answered.", ["method", "code"], buckets=_RPC_BUCKETS_S
        )
        self._lag = self.histogram(
            "reconcile_lag_seconds", "Desired state: committed until applied.", ["region"], buckets=_LAG_BUCKETS_S
        )
        self._kept = self.gauge("kept_bytes", "Disk use after the last sweep, by kind of thing.", ["kind"])

    def deploy_ended(self, outcome: str, duration_s: float) -> None:
        """A deployment reached the terminal status `outcome`, e.g. "ready"."""
        self._deploys.labels(outcome).observe(max(duration_s, 0.0))

    def build_ended(self, outcome: str, duration_s: float) -> None:
        """A build reached the terminal status `outcome`, e.g. "succeeded"."""
        self._builds.labels(outcome).observe(max(duration_s, 0.0))

    def rpc_ended(self, method: str, code: str, duration_s: float) -> None:
        """An RPC was answered. `method` is a registered one ("/package.Service/Method"): input would be unbounded."""
        self._rpcs.labels(method, code).observe(max(duration_s, 0.0))

    def reconciled(self, region: str, lag_s: float) -> None:
        """A change of desired state was applied in `region`, `lag_s` after its commit."""
        self._lag.labels(region).observe(max(lag_s, 0.0))

    def keeps(self, kind: str, size_bytes: int) -> None:
        """Records the bytes of `kind` that a sweep left: "images" (layers count for each image) or "contexts"."""
        self._kept.labels(kind).set(size_bytes)

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """A counter `sealift_<name>_total` on this registry; once per name."""
        return Counter(f"sealift_{name}", text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        """A gauge `sealift_<name>` on this registry; once per name."""
        return Gauge(f"sealift_{name}", text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, labels: Sequence[str] = (), *, buckets: Sequence[float]) -> Histogram:
        """A histogram `sealift_<name>` on this registry; once per name."""
        return Histogram(f"sealift_{name}", text, labels, registry=self.registry, buckets=buckets)

    def render(self) -> bytes:
        """Everything in the text format, for /metrics."""
        return generate_latest(self.registry)
