"""Promise: how deploys and builds end, and how long they take, can be read on one machine."""

import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from pkg.testing.wait import WAIT_S
from tests.harness import apps
from tests.harness.stack import Stack
from tests.harness.wait import eventually

Samples = dict[tuple[str, str], float]


def _read(address: str, label: str = "outcome") -> Samples:
    """Samples by name and the value of one label, summed over the others."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=WAIT_S) as answer:
        text = answer.read().decode()
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, sample.labels.get(label, ""))
            found[key] = found.get(key, 0) + sample.value
    return found


def _more(before: Samples, after: Samples, name: str, value: str) -> float:
    return after.get((name, value), 0) - before.get((name, value), 0)


def test_deploys_and_builds_by_outcome_and_duration(stack: Stack, project: str, tmp_path: Path) -> None:
    """A good and a failed deploy are counted once each, with their builds and how long they took."""
    worker, krane, api = (stack.endpoints[name] for name in ("worker_metrics", "krane_metrics", "http"))
    before, starts, rpcs = _read(worker), _read(krane), _read(api, "method")
    assert stack.deploy(apps.app(tmp_path / "good"), project).code == 0
    assert stack.deploy(apps.app(tmp_path / "bad", build="RUN exit 7"), project).code != 0
    eventually(
        lambda: _more(before, _read(worker), "sealift_deploy_duration_seconds_count", "failed") == 1,
        what="the failed deploy is counted",
    )  # fmt: skip
    after = _read(worker)
    for name, outcomes in (("deploy", ("ready", "failed")), ("build", ("succeeded", "failed"))):
        for outcome in outcomes:
            assert _more(before, after, f"sealift_{name}_duration_seconds_count", outcome) == 1
            assert 0 < _more(before, after, f"sealift_{name}_duration_seconds_sum", outcome) < 60
    assert _more(starts, _read(krane), "sealift_instance_start_seconds_count", "healthy") == 1
    create = "/sealift.ctrl.v1.DeploymentService/CreateDeployment"
    assert _more(rpcs, _read(api, "method"), "sealift_rpc_duration_seconds_count", create) == 2


def test_every_service_says_who_it_is(stack: Stack) -> None:
    """Two processes of one service are distinguishable: /metrics names the instance, as the logs do."""
    for service, endpoint in (("api", "http"), ("worker", "worker_metrics"), ("krane", "krane_metrics")):
        names = {value for (name, value) in _read(stack.endpoints[endpoint], "service_name") if name == "target_info"}
        assert names == {service}
        (instance,) = {
            value for (name, value) in _read(stack.endpoints[endpoint], "service_instance_id") if name == "target_info"
        }
        assert f'"service.instance.id": "{instance}"' in (stack.state / "logs" / f"{service}.log").read_text()
