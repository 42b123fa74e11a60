"""Promise: while an upgrade is near, every intent is taken and none begins; afterwards each begins once, at once."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus
from pkg.clock import now_ms
from pkg.workflows import outbox
from pkg.workflows.deploy import DEPLOY
from pkg.workflows.tables import dispatches
from sealift.ctrl.v1 import build_pb2, ctrl_pb2, project_pb2
from sealift.ctrl.v1 import deployment_pb2 as pb
from svc.api.conftest import Deploy, Upload
from svc.api.deployment_testing import make_ready
from svc.api.dispatch import dispatcher
from svc.api.requests.queued import DRAINING
from svc.api.testing import (
    RecordingRestate,
    RunningApi,
    all_sent,
    begin_drain,
    config_in,
    end_drains,
    eventually,
    running_api,
)

Shown = Callable[[str], Awaitable[pb.Deployment]]


@pytest.fixture
async def draining(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain that the dispatcher has seen; it then waits for commits only."""
    monkeypatch.setattr(dispatcher, "POLL_S", 600.0)
    await begin_drain(api)
    # the pass under way may have started before
    await eventually(lambda: holds(api), "the drain is seen")


@pytest.fixture
def shown(api: RunningApi) -> Shown:
    async def run(deployment_id: str) -> pb.Deployment:
        answer = await api.admin.deployment.GetDeployment(pb.GetDeploymentRequest(deployment_id=deployment_id))
        found: pb.Deployment = answer.deployment
        return found

    return run


async def holds(api: RunningApi) -> bool:
    return bool((await api.admin.ctrl.GetServerInfo(ctrl_pb2.GetServerInfoRequest())).is_draining)


async def test_a_deploy_waits_for_the_end_of_the_drain(
    api: RunningApi, deploy: Deploy, restate: RecordingRestate, shown: Shown, draining: None
) -> None:
    """It is recorded, says why it waits, and goes out as soon as the drain ends: without waiting for a poll."""
    made = await deploy()
    assert (made.status, made.queued_reason) == (pb.DEPLOYMENT_STATUS_PENDING, DRAINING)
    watched = api.admin.deployment.WatchDeployment(pb.WatchDeploymentRequest(deployment_id=made.deployment_id))
    assert (await watched.read()).deployment.queued_reason == DRAINING
    assert await holds(api)
    assert restate.sent == []
    await end_drains(api)
    await eventually(lambda: restate.count("Deploy", "run", made.deployment_id) == 1, "sent at once", 2)
    assert (await watched.read()).deployment.queued_reason == ""
    watched.cancel()
    await all_sent(api)
    assert (await shown(made.deployment_id)).queued_reason == ""
    assert not await holds(api)
    assert restate.count("Deploy", "run", made.deployment_id) == 1


async def test_a_start_while_draining_sends_nothing(tmp_path: Path, restate: RecordingRestate) -> None:
    """An api that is killed in the middle of a drain continues it: a drain ends only on request."""
    config = config_in(tmp_path, restate.url)
    restate.is_away = True
    async with running_api(config) as api:
        made = await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="hello"))
        request = pb.CreateDeploymentRequest(project_id=made.project.project_id, environment_slug="production")
        request.docker_image = "nginx"
        deployment_id = (await api.admin.deployment.CreateDeployment(request)).deployment.deployment_id
        await begin_drain(api)
    restate.is_away = False
    async with running_api(config) as api:
        await eventually(lambda: holds(api), "the drain is seen")
        assert restate.sent == []
        await end_drains(api)
        await eventually(lambda: restate.count("Deploy", "run", deployment_id) == 1, "sent")


async def test_an_operation_waits_too(api: RunningApi, deploy: Deploy, restate: RecordingRestate) -> None:
    """A promote waits too, with the reason."""
    live, other = await deploy(), await deploy(branch="b")
    await all_sent(api)
    await api.db.write(make_ready, live.deployment_id, hostname="hello.sealift.localhost")
    await api.db.write(make_ready, other.deployment_id)
    await begin_drain(api)
    await eventually(lambda: holds(api), "the drain is seen")
    request = pb.PromoteRequest(deployment_id=other.deployment_id)
    operation = (await api.admin.deployment.Promote(request)).operation
    assert (operation.status, operation.queued_reason) == (pb.OPERATION_STATUS_PENDING, DRAINING)
    assert restate.count("Switch", "run", operation.operation_id) == 0
    await end_drains(api)
    await eventually(lambda: restate.count("Switch", "run", operation.operation_id) == 1, "sent", 5)
    await all_sent(api)
    read = await api.admin.deployment.GetOperation(pb.GetOperationRequest(operation_id=operation.operation_id))
    assert read.operation.queued_reason == ""


async def test_what_has_begun_goes_on(api: RunningApi, deploy: Deploy, restate: RecordingRestate, shown: Shown) -> None:
    """What Restate had, and forgot, is sent again also now: it is under way, and is waited for."""
    made = await deploy()
    await all_sent(api)
    await begin_drain(api)
    await eventually(lambda: holds(api), "the drain is seen")
    assert (await shown(made.deployment_id)).queued_reason == ""
    await api.db.write(outbox.add, DEPLOY, made.deployment_id, now_ms())
    await eventually(lambda: restate.count("Deploy", "run", made.deployment_id) == 2, "sent again", 5)


async def test_a_cancel_of_what_waits_is_done_at_once(
    api: RunningApi, deploy: Deploy, project: project_pb2.Project, upload: Upload, restate: RecordingRestate,
    draining: None,
) -> None:  # fmt: skip
    """Nothing runs that could end it, so the api does; its build ends with it, and no workflow is bothered."""
    request = pb.CreateDeploymentRequest(project_id=project.project_id, environment_slug="production")
    request.build_context.build_context_path = await upload(project.project_id)
    made = (await api.admin.deployment.CreateDeployment(request)).deployment
    for _ in range(2):
        answer = await api.admin.deployment.CancelDeployment(
            pb.CancelDeploymentRequest(deployment_id=made.deployment_id)
        )
        assert answer.deployment.status == pb.DEPLOYMENT_STATUS_CANCELLED
        assert answer.deployment.queued_reason == ""
    assert [(step.name, step.error) for step in answer.deployment.steps] == [("queued", "cancelled")]
    build = await api.db.read(builds.get, made.build_id)
    assert build is not None
    assert build.status is BuildStatus.CANCELLED
    assert restate.sent == []

    request.branch = "other"
    by_build = (await api.admin.deployment.CreateDeployment(request)).deployment
    for _ in range(2):
        await api.admin.build.CancelBuild(build_pb2.CancelBuildRequest(build_id=by_build.build_id))
    read = await api.admin.deployment.GetDeployment(pb.GetDeploymentRequest(deployment_id=by_build.deployment_id))
    assert read.deployment.status == pb.DEPLOYMENT_STATUS_CANCELLED

    alone = await api.admin.build.CreateBuild(
        build_pb2.CreateBuildRequest(project_id=project.project_id, build_context=request.build_context)
    )
    assert alone.build.queued_reason == DRAINING
    ended = await api.admin.build.CancelBuild(build_pb2.CancelBuildRequest(build_id=alone.build.build_id))
    assert ended.build.status == build_pb2.BUILD_STATUS_CANCELLED


async def test_a_cancel_of_what_has_begun_is_left_to_its_workflow(
    api: RunningApi, deploy: Deploy, restate: RecordingRestate
) -> None:
    """Its workflow may have done more than the row shows, also while it is sent a second time."""
    made = await deploy()
    await all_sent(api)
    await begin_drain(api)
    await api.db.write(
        lambda c: c.execute(update(dispatches).where(dispatches.c.key == made.deployment_id).values(sent_at=None))
    )
    answer = await api.admin.deployment.CancelDeployment(pb.CancelDeploymentRequest(deployment_id=made.deployment_id))
    assert answer.deployment.status == pb.DEPLOYMENT_STATUS_PENDING
    await eventually(lambda: restate.count("Deploy", "stop", made.deployment_id) == 1, "its workflow is notified")
