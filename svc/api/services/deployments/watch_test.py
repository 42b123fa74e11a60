"""Streams of deployments and operations."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc import aio
from sqlalchemy import Connection, update

from pkg.clock import now_ms
from pkg.deployments import queries
from pkg.deployments.status import Status, Step
from pkg.deployments.tables import deployments as table
from pkg.operations import queries as operation_queries
from pkg.operations.model import OperationStatus
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import build_pb2, project_pb2
from sealift.ctrl.v1 import deployment_pb2 as pb
from svc.api.conftest import Deploy, Upload
from svc.api.deployment_testing import make_ready, walk_to
from svc.api.testing import RecordingRestate, RunningApi, all_sent, eventually, refused


async def next_of(call: Any) -> Any:
    async with asyncio.timeout(WAIT_S):
        return await call.read()


async def test_watch_tells_every_change_and_ends(api: RunningApi, deploy: Deploy) -> None:
    """Promise: the whole deployment at once, after each change by any process, and an end after the terminal status."""
    made = await deploy()
    call = api.admin.deployment.WatchDeployment(pb.WatchDeploymentRequest(deployment_id=made.deployment_id))
    assert (await next_of(call)).deployment == made
    await api.db.write(walk_to, made.deployment_id, Status.DEPLOYING)
    assert (await next_of(call)).deployment.status == pb.DEPLOYMENT_STATUS_DEPLOYING
    await api.db.write(queries.start_step, made.deployment_id, Step.DEPLOYING, now_ms())
    assert [s.name for s in (await next_of(call)).deployment.steps] == ["queued", "deploying"]
    await api.db.write(
        queries.fail,
        made.deployment_id,
        code="instance.failed",
        message="The app ended with exit code 3.",
        step="deploying",
        now=now_ms(),
    )
    last = (await next_of(call)).deployment
    assert last.status == pb.DEPLOYMENT_STATUS_FAILED
    assert (last.error.code, last.error.step) == ("instance.failed", "deploying")
    assert last.steps[1].error == "The app ended with exit code 3."
    assert await next_of(call) == aio.EOF


async def test_watch_does_not_repeat_itself(api: RunningApi, deploy: Deploy) -> None:
    """Promise: commits that do not concern the deployment send nothing."""
    made = await deploy()
    call = api.admin.deployment.WatchDeployment(pb.WatchDeploymentRequest(deployment_id=made.deployment_id))
    await next_of(call)
    for number in range(3):
        await deploy(branch=f"other-{number}")
    await api.db.write(walk_to, made.deployment_id, Status.CANCELLED)
    assert (await next_of(call)).deployment.status == pb.DEPLOYMENT_STATUS_CANCELLED
    assert await next_of(call) == aio.EOF


async def test_watch_of_nothing(api: RunningApi) -> None:
    """Promise: an unknown deployment is NotFound, not a silent stream."""
    call = api.admin.deployment.WatchDeployment(pb.WatchDeploymentRequest(deployment_id="dep_" + "0" * 26))
    with pytest.raises(aio.AioRpcError) as caught:
        await next_of(call)
    assert refused(caught.value)[:2] == (grpc.StatusCode.NOT_FOUND, "deployment.not_found")


async def test_a_client_that_leaves_is_forgotten(api: RunningApi, deploy: Deploy) -> None:
    """Promise: a stream ends with its client, though nothing ever changes."""
    made = await deploy()
    call = api.admin.deployment.WatchDeployment(pb.WatchDeploymentRequest(deployment_id=made.deployment_id))
    await next_of(call)
    before = len(asyncio.all_tasks())
    call.cancel()
    await eventually(lambda: len(asyncio.all_tasks()) < before, "the handler's task has ended")


async def test_stop_ends_streams_with_unavailable(api: RunningApi, deploy: Deploy) -> None:
    """Promise: a stop is quick, asks followers to connect again, and accepts no new ones."""
    made = await deploy()
    call = api.admin.deployment.WatchDeployment(pb.WatchDeploymentRequest(deployment_id=made.deployment_id))
    await next_of(call)
    began = asyncio.get_running_loop().time()
    api.runner.stop("test")
    stopped = asyncio.create_task(api.runner.wait())
    with pytest.raises(aio.AioRpcError) as caught:
        await next_of(call)
    assert refused(caught.value)[:2] == (grpc.StatusCode.UNAVAILABLE, "server.stopping")
    await stopped
    assert asyncio.get_running_loop().time() - began < 3


async def test_cancel(api: RunningApi, deploy: Deploy, restate: RecordingRestate) -> None:
    """Promise: a cancel is recorded, sent to the workflow, repeatable; and refused once the routes are being moved."""
    made = await deploy()
    await all_sent(api)
    request = pb.CancelDeploymentRequest(deployment_id=made.deployment_id)
    await api.admin.deployment.CancelDeployment(request)
    await api.admin.deployment.CancelDeployment(request)
    await eventually(lambda: restate.count("Deploy", "stop", made.deployment_id) >= 1, "the workflow is notified")
    row = await api.db.read(queries.get, made.deployment_id)
    assert row is not None
    assert (row.cancel_reason, row.status) == ("cancelled", Status.PENDING)
    await api.db.write(walk_to, made.deployment_id, Status.CANCELLED)
    await api.admin.deployment.CancelDeployment(request)

    late = await deploy()
    await api.db.write(walk_to, late.deployment_id, Status.DEPLOYING, Status.NETWORK)
    with pytest.raises(aio.AioRpcError) as caught:
        await api.admin.deployment.CancelDeployment(pb.CancelDeploymentRequest(deployment_id=late.deployment_id))
    assert refused(caught.value)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "deployment.already_switching")


async def test_cancel_of_a_build_cancels_its_deployment(
    api: RunningApi, project: project_pb2.Project, upload: Upload, restate: RecordingRestate
) -> None:
    """Promise: CancelBuild stops the builder and the deployment that waits for it."""
    made = (
        await api.admin.deployment.CreateDeployment(
            pb.CreateDeploymentRequest(
                project_id=project.project_id,
                environment_slug="production",
                build_context=build_pb2.BuildContext(build_context_path=await upload(project.project_id)),
            )
        )
    ).deployment
    await all_sent(api)
    for _ in range(2):
        await api.admin.build.CancelBuild(build_pb2.CancelBuildRequest(build_id=made.build_id))
    await eventually(lambda: restate.count("Build", "stop", made.build_id) >= 1, "the builder is notified")
    await eventually(lambda: restate.count("Deploy", "stop", made.deployment_id) >= 1, "the deploy is notified")


async def test_promote_and_rollback_are_operations(api: RunningApi, deploy: Deploy, restate: RecordingRestate) -> None:
    """Promise: each is recorded once per idempotency key, dispatched, followed to its end, and gated."""
    live, other = await deploy(), await deploy(branch="other")
    await api.db.write(make_ready, live.deployment_id, hostname="hello.sealift.localhost")
    with pytest.raises(aio.AioRpcError) as caught:
        await api.admin.deployment.Promote(pb.PromoteRequest(deployment_id=other.deployment_id))
    assert refused(caught.value)[1] == "deployment.not_ready"
    await api.db.write(make_ready, other.deployment_id)
    request = pb.PromoteRequest(deployment_id=other.deployment_id, idempotency_key="p1")
    operation = (await api.admin.deployment.Promote(request)).operation
    assert (await api.admin.deployment.Promote(request)).operation == operation
    assert operation.previous_deployment_id == live.deployment_id
    assert operation.kind == pb.OPERATION_KIND_PROMOTE
    await eventually(lambda: restate.count("Switch", "run", operation.operation_id) == 1, "dispatched")
    call = api.admin.deployment.WatchOperation(pb.WatchOperationRequest(operation_id=operation.operation_id))
    assert (await next_of(call)).operation == operation
    await api.db.write(operation_queries.begin, operation.operation_id)
    assert (await next_of(call)).operation.status == pb.OPERATION_STATUS_RUNNING
    await api.db.write(
        operation_queries.end, operation.operation_id, OperationStatus.DONE, now_ms(), notices=("all well",)
    )
    last = (await next_of(call)).operation
    assert (last.status, list(last.notices)) == (pb.OPERATION_STATUS_DONE, ["all well"])
    assert await next_of(call) == aio.EOF
    with pytest.raises(aio.AioRpcError) as caught:
        await api.admin.deployment.Rollback(pb.RollbackRequest(environment_id=live.environment_id))
    assert refused(caught.value)[1] == "environment.nothing_to_roll_back_to"


async def test_stop_of_a_deployment(api: RunningApi, deploy: Deploy, restate: RecordingRestate) -> None:
    """Promise: what serves is not stopped; what does not serve is, by an operation of kind stop."""
    live = await deploy()
    await api.db.write(make_ready, live.deployment_id, hostname="hello.sealift.localhost")
    found = (
        await api.admin.deployment.GetDeployment(pb.GetDeploymentRequest(deployment_id=live.deployment_id))
    ).deployment
    assert found.is_live
    assert list(found.urls) == ["http://hello.sealift.localhost:7480"]
    (listed,) = (await api.admin.project.ListProjects(project_pb2.ListProjectsRequest())).projects
    assert (listed.live_url, listed.live_deployment_id) == (found.urls[0], live.deployment_id)
    assert (listed.live_instances, listed.healthy_instances) == (0, 0)
    by_slug = await api.admin.project.GetProject(project_pb2.GetProjectRequest(slug=listed.slug))
    assert by_slug.project == listed
    with pytest.raises(aio.AioRpcError) as caught:
        await api.admin.deployment.StopDeployment(pb.StopDeploymentRequest(deployment_id=live.deployment_id))
    assert refused(caught.value)[1] == "deployment.routed"
    taken_down = await api.admin.deployment.StopDeployment(
        pb.StopDeploymentRequest(deployment_id=live.deployment_id, take_down=True)
    )
    operation = taken_down.operation
    assert (operation.kind, operation.previous_deployment_id) == (pb.OPERATION_KIND_TAKE_DOWN, live.deployment_id)
    idle = await deploy(branch="idle")
    await api.db.write(make_ready, idle.deployment_id)
    answer = await api.admin.deployment.StopDeployment(pb.StopDeploymentRequest(deployment_id=idle.deployment_id))
    assert answer.deployment.deployment_id == idle.deployment_id
    assert answer.operation.kind == pb.OPERATION_KIND_STOP
    both = (operation.operation_id, answer.operation.operation_id)
    await eventually(lambda: [restate.count("Switch", "run", key) for key in both] == [1, 1], "dispatched")


async def test_another_workspace_sees_nothing(api: RunningApi, deploy: Deploy) -> None:
    """Promise: what belongs to another workspace is NotFound."""
    made = await deploy()

    def move_away(connection: Connection) -> None:
        from pkg.workspaces.tables import workspaces

        connection.execute(workspaces.insert().values(id="ws_x", slug="x", build_slots=1, created_at=1))
        connection.execute(update(table).values(workspace_id="ws_x"))

    await api.db.write(move_away)
    for call in (
        api.admin.deployment.GetDeployment(pb.GetDeploymentRequest(deployment_id=made.deployment_id)),
        api.admin.deployment.CancelDeployment(pb.CancelDeploymentRequest(deployment_id=made.deployment_id)),
        api.admin.deployment.Promote(pb.PromoteRequest(deployment_id=made.deployment_id)),
    ):
        with pytest.raises(aio.AioRpcError) as caught:
            await call
        assert refused(caught.value)[1] == "deployment.not_found"
