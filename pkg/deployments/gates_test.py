"""Refusals whose advice can be followed in the very situation in which they are given."""

import dataclasses

import pytest

from pkg.db import Database
from pkg.deployments import gates
from pkg.deployments.model import Deployment
from pkg.deployments.status import RunState, Status
from pkg.errors import FailedPrecondition
from pkg.testing.sample_project import add_sample_project, deployment_of, record_deploy


@pytest.fixture
async def ready(db: Database) -> Deployment:
    """A ready deployment that runs."""
    made = await db.write(lambda c: deployment_of(c, record_deploy(c, add_sample_project(c), image="nginx:1").id))
    return dataclasses.replace(made, status=Status.READY, run_state=RunState.RUNNING, image_ref="engine:1")


def refusal(target: Deployment, gate: str, **arguments: object) -> tuple[str, str]:
    with pytest.raises(FailedPrecondition) as caught:
        getattr(gates, gate)(target, **arguments)
    return caught.value.code, caught.value.message


SWITCH = {"live_deployment_id": "dep_live", "is_rolled_back": False, "is_rollback": False}
STOP = {"live_hostnames": [], "takes_down": False}


async def test_promote(ready: Deployment) -> None:
    """Promise: who may not be promoted yet is waited for, who never can be is replaced, who is down comes back."""
    gates.check_switch(ready, **SWITCH)  # type: ignore[arg-type]
    gates.check_switch(ready, **SWITCH | {"live_deployment_id": None})  # type: ignore[arg-type]
    building = dataclasses.replace(ready, status=Status.BUILDING)
    assert f"sealift status --wait {ready.id}" in refusal(building, "check_switch", **SWITCH)[1]
    failed = dataclasses.replace(ready, status=Status.FAILED)
    assert "choose a ready one of `sealift ls`, or deploy again" in refusal(failed, "check_switch", **SWITCH)[1]
    down = SWITCH | {"live_deployment_id": None, "is_rollback": True}
    assert refusal(ready, "check_switch", **down)[0] == "environment.nothing_live"
    assert f"sealift promote {ready.id}" in refusal(ready, "check_switch", **down)[1]


async def test_stop(ready: Deployment) -> None:
    """Promise: only what is live needs another word to be stopped; a deploy under way is cancelled instead."""
    gates.check_stop(ready, **STOP)  # type: ignore[arg-type]
    live = STOP | {"live_hostnames": ["hello.sealift.localhost"]}
    code, message = refusal(ready, "check_stop", **live)
    assert (code, "sealift stop --live" in message) == ("deployment.routed", True)
    gates.check_stop(ready, **live | {"takes_down": True})  # type: ignore[arg-type]
    building = dataclasses.replace(ready, status=Status.BUILDING)
    assert f"sealift cancel {ready.id}" in refusal(building, "check_stop", **STOP)[1]
    failed = dataclasses.replace(ready, status=Status.FAILED)
    assert "cancel" not in refusal(failed, "check_stop", **STOP)[1]
    stopped = dataclasses.replace(ready, run_state=RunState.STOPPED)
    assert refusal(stopped, "check_stop", **STOP)[0] == "deployment.already_stopped"


async def test_scale(ready: Deployment) -> None:
    """Promise: what was never deployed, is stopped or has bounds is refused with what to do instead."""
    scale = {"environment_slug": "production", "is_stopped": False}
    gates.check_scale(ready, **scale)  # type: ignore[arg-type]
    for is_stopped, advice in ((False, "`sealift deploy` first"), (True, "`sealift promote`")):
        with pytest.raises(FailedPrecondition, match=advice) as caught:
            gates.check_scale(None, environment_slug="production", is_stopped=is_stopped)
        assert caught.value.code == "environment.nothing_live"
    bounded = dataclasses.replace(ready, settings_json={"autoscaling": {"min_replicas": 2, "max_replicas": 4}})
    code, message = refusal(bounded, "check_scale", **scale)
    assert code == "environment.autoscaled"
    assert "min_replicas = 2 and max_replicas = 4" in message


async def test_restart(ready: Deployment) -> None:
    """Promise: only what runs is restarted; what is started now, for a promote, runs."""
    for run_state in (RunState.RUNNING, RunState.STANDBY, RunState.STARTING):
        gates.check_restart(dataclasses.replace(ready, run_state=run_state))
    stopped = dataclasses.replace(ready, run_state=RunState.STOPPED)
    code, message = refusal(stopped, "check_restart")
    assert (code, f"sealift promote {ready.id}" in message) == ("deployment.not_running", True)
    building = dataclasses.replace(ready, status=Status.BUILDING)
    assert refusal(building, "check_restart")[0] == "deployment.not_ready"


async def test_cancel(ready: Deployment) -> None:
    """Promise: too late for a cancel is not the end: what can be done instead is named."""
    assert f"sealift stop {ready.id}" in refusal(ready, "check_cancel")[1]
    network = dataclasses.replace(ready, status=Status.NETWORK)
    assert "sealift stop --live" in refusal(network, "check_cancel")[1]
    failed = dataclasses.replace(ready, status=Status.FAILED)
    assert "sealift" not in refusal(failed, "check_cancel")[1]
