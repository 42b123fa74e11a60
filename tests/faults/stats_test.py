"""Promise: each request that the ingress answered is counted once, whatever is killed meanwhile, and users see it."""

import json
from pathlib import Path
from typing import Any

from tests.harness import apps
from tests.harness.http import get
from tests.harness.stack import Stack
from tests.harness.wait import eventually

# Envoy is read every 10 s; a killed krane is started again first.
WITHIN_S = 60
# Instances are measured every 15 s.
MEASURED_WITHIN_S = 120


def _stats(stack: Stack, project: str) -> Any:
    shown = stack.sealift("stats", "--project", project, "--json")
    assert shown.code == 0, shown.err
    return json.loads(shown.out)


def test_requests_are_counted_once(stack: Stack, project: str, tmp_path: Path) -> None:
    """Over kill -9 of krane, api and worker: all answers are counted, by whom they were given, with their times."""
    assert stack.deploy(apps.app(tmp_path / "app"), project).code == 0
    url = stack.url(project)
    for number in range(30):
        assert get(url).status == 200
        if number == 10:
            stack.kill("krane")
        if number == 20:
            stack.kill("api")
    eventually(lambda: get(f"{url}/missing").status == 404, what="a path that is none")

    eventually(stack.is_ready, within_s=WITHIN_S, what="the api works again")

    def total() -> Any:
        return _stats(stack, project)["total"]

    eventually(lambda: total()["requests"] >= 31, within_s=WITHIN_S, what="every request is counted")
    found = _stats(stack, project)
    assert (found["total"]["app"]["status_2xx"], found["total"]["app"]["status_4xx"]) == (30, 1)
    assert found["total"]["p99_us"] > 0
    (live,) = [one for one in found["deployments"] if one["is_live"]]
    assert live["total"]["requests"] == 31
    shown = stack.sealift("status", live["deployment_id"])
    assert " req/s, 0% 5xx, p50 " in shown.out


def test_usage_goes_on_over_a_kill(stack: Stack, project: str, tmp_path: Path) -> None:
    """CPU and memory of the live instance are shown; what was used before kill -9 of krane and api is still counted."""
    assert stack.deploy(apps.app(tmp_path / "app"), project).code == 0
    url = stack.url(project)

    def used() -> Any:
        shown = stack.sealift("usage", "--project", project, "--json")
        return json.loads(shown.out)["total"] if shown.code == 0 else {"vcpu_s": 0, "memory_gib_h": 0}

    eventually(lambda: used()["memory_gib_h"] > 0, within_s=MEASURED_WITHIN_S, what="the instance is measured")
    before = used()
    stack.kill("krane")
    stack.kill("api")
    eventually(stack.is_ready, within_s=MEASURED_WITHIN_S, what="the api works again")
    assert get(url).status == 200
    eventually(
        lambda: used()["memory_gib_h"] > before["memory_gib_h"], within_s=MEASURED_WITHIN_S, what="it is measured again"
    )
    assert used()["vcpu_s"] >= before["vcpu_s"] > 0

    def now() -> Any:
        shown = stack.sealift("ps", "--project", project, "--json")
        return shown.code == 0 and json.loads(shown.out)["now"]

    eventually(now, within_s=MEASURED_WITHIN_S, what="what it uses now is shown")
    assert now()["memory_bytes"] > 0
