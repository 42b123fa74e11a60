"""What Pods use, as kubelets and the cluster's metrics say it."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from pkg.errors import Unavailable
from svc.krane.runtime.kubernetes.api import ApiError
from svc.krane.runtime.kubernetes.usage import PodUsage, nanocores
from svc.krane.runtime.port import InstanceUsage
from svc.krane.testing.pods import OWN, RUNNING, pod

METRICS = "/apis/metrics.k8s.io/v1beta1/pods"
SUMMARY = "/api/v1/nodes/n/proxy/stats/summary"


class Answers:
    """An API server that has one answer, or refusal, for each path."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def read(self, path: str, as_: type[Any], params: Mapping[str, str] | None = None) -> Any:
        self.asked.append(path)
        answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        return msgspec.convert(answer, as_)


def summary(*containers: Any, **more: Any) -> Any:
    return {"node": {"nodeName": "n"}, "pods": [{"podRef": {"uid": "u"}, "containers": list(containers), **more}]}


def usage(answers: Mapping[str, Any]) -> tuple[PodUsage, Answers]:
    server = Answers(answers)
    return PodUsage(server, OWN.selector), server  # type: ignore[arg-type]


FORBIDDEN = ApiError(403, "Forbidden", "nodes/proxy")
OF_METRICS = {
    "items": [
        {
            "metadata": {"name": "dep-1-0", "namespace": OWN.namespace("ws_1")},
            "containers": [
                {"name": "sidecar", "usage": {"cpu": "1", "memory": "1Gi"}},
                {"name": "app", "usage": {"cpu": "12500000n", "memory": "34Mi"}},
            ],
        },
        {"metadata": {"name": "dep-2-0", "namespace": "elsewhere"}, "containers": None},
    ]
}


async def test_what_a_kubelet_says() -> None:
    """Promise: the app's container counts, not what others put beside it; traffic is the Pod's; disks are unknown."""
    app = {"name": "app", "cpu": {"usageCoreNanoSeconds": 7}, "memory": {"workingSetBytes": 9, "rssBytes": 1}}
    other = {"name": "sidecar", "cpu": {"usageCoreNanoSeconds": 70}, "memory": {"workingSetBytes": 90}}
    measured, _ = usage({SUMMARY: summary(other, app, network={"rxBytes": 3, "txBytes": 4, "interfaces": []})})
    expected = InstanceUsage("dep-1-0", "u", "dep_1", 9, cpu_ns=7, network_rx_bytes=3, network_tx_bytes=4)
    assert await measured.of([pod(RUNNING)]) == [expected]
    assert await measured.of([pod({"waiting": {}})]) == []


@pytest.mark.parametrize(
    "answer", [{"pods": None}, summary(), summary({"name": "app"}), summary({"name": "app", "memory": {}})]
)
async def test_what_is_not_measured_yet_is_left_out(answer: Any) -> None:
    """Promise: a Pod that its kubelet has not looked at is absent, and not measured as 0."""
    measured, _ = usage({SUMMARY: answer})
    assert await measured.of([pod(RUNNING)]) == []


async def test_metrics_where_nodes_may_not_be_asked() -> None:
    """Promise: then CPU and memory are those of the cluster's metrics, traffic is unknown, and nodes are left alone."""
    measured, server = usage({SUMMARY: FORBIDDEN, METRICS: OF_METRICS})
    expected = InstanceUsage("dep-1-0", "u", "dep_1", 34 << 20, cpu_nanocores=12_500_000)
    assert await measured.of([pod(RUNNING)]) == await measured.of([pod(RUNNING)]) == [expected]
    assert server.asked == [SUMMARY, METRICS, METRICS]


async def test_neither_may_be_asked() -> None:
    """Promise: that is said, with the server's words."""
    measured, _ = usage({SUMMARY: FORBIDDEN, METRICS: ApiError(404, "NotFound", "no metrics")})
    with pytest.raises(Unavailable, match=r"neither nodes nor metrics\.k8s\.io.*no metrics"):
        await measured.of([pod(RUNNING)])


async def test_a_node_that_is_away() -> None:
    """Promise: its Pods are left out; if no node answers, that is a fault of now, and the metrics are not asked."""
    measured, server = usage({SUMMARY: Unavailable("kubernetes.unavailable", "no answer")})
    with pytest.raises(Unavailable, match="no answer"):
        await measured.of([pod(RUNNING)])
    assert server.asked == [SUMMARY]


def test_quantities_of_cpu() -> None:
    """Promise: every unit of the API is read, and what is none is unknown."""
    texts = ("12500000n", "12u", "250m", "2", "0.5", "", "x", "1e3m", "NaN")
    assert [nanocores(text) for text in texts] == [
        12_500_000, 12_000, 250_000_000, 2 * 10**9, 5 * 10**8, None, None, 10**9, None
    ]  # fmt: skip
