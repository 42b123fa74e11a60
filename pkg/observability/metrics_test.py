from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from pkg.observability.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_families_by_outcome_and_duration() -> None:
    """Promise: the architecture's metrics are there, with their labels, in seconds."""
    metrics = Metrics("worker", "inst_1")
    metrics.deploy_ended("ready", 12.5)
    metrics.deploy_ended("failed", 1)
    metrics.build_ended("succeeded", 8)
    metrics.rpc_ended("/sealift.ctrl.v1.CtrlService/Liveness", "OK", 0.002)
    metrics.reconciled("local", 0.2)
    metrics.reconciled("local", -0.1)  # clocks of two machines
    found = samples(metrics)
    assert found["sealift_deploy_duration_seconds_sum", frozenset({("outcome", "ready")})] == 12.5
    assert found["sealift_deploy_duration_seconds_count", frozenset({("outcome", "failed")})] == 1
    assert found["sealift_build_duration_seconds_count", frozenset({("outcome", "succeeded")})] == 1
    labels = frozenset({("method", "/sealift.ctrl.v1.CtrlService/Liveness"), ("code", "OK")})
    assert found["sealift_rpc_duration_seconds_count", labels] == 1
    assert found["sealift_reconcile_lag_seconds_sum", frozenset({("region", "local")})] == 0.2


def test_says_who_it_is() -> None:
    """Promise: two processes of one service are distinguishable in one Prometheus."""
    labels = frozenset({("service_name", "api"), ("service_instance_id", "inst_1")})
    assert samples(Metrics("api", "inst_1"))["target_info", labels] == 1


def test_nothing_is_global() -> None:
    """Promise: two in one process do not clash, and the library's own registry stays as it was."""
    before = set(REGISTRY._names_to_collectors)
    one, two = Metrics("api", "a"), Metrics("api", "b")
    one.counter("things", "Things.", ["kind"]).labels("x").inc()
    two.gauge("things", "Things.").set(3)
    assert samples(one)["sealift_things_total", frozenset({("kind", "x")})] == 1
    assert samples(two)["sealift_things", frozenset()] == 3
    assert set(REGISTRY._names_to_collectors) == before
