"""A scale and a restart over gRPC: recorded once, refused with words that help, and sent to the regions."""

from collections.abc import Awaitable, Callable

import grpc
import pytest
from grpc import aio

from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState
from pkg.desired.capabilities import APP_RESTART, BASELINE
from pkg.operations import queries as operations
from pkg.regions.tables import regions
from pkg.scaling import effects
from sealift.ctrl.v1 import deployment_pb2, environment_pb2, project_pb2
from sealift.ctrl.v1.common_pb2 import RuntimeSettings
from svc.api.cluster_testing import NOW, place, register, report, seen, until_head, watch
from svc.api.conftest import Deploy
from svc.api.deployment_testing import make_ready
from svc.api.testing import RunningApi, refused

HOSTNAME = "hello.sealift.localhost"


async def production(api: RunningApi, project: project_pb2.Project) -> environment_pb2.Environment:
    request = environment_pb2.ListEnvironmentsRequest(project_id=project.project_id)
    found: environment_pb2.Environment = (await api.admin.environment.ListEnvironments(request)).environments[0]
    return found


@pytest.fixture
async def live(api: RunningApi, deploy: Deploy) -> deployment_pb2.Deployment:
    """A deployment that is ready, running and live."""
    made = await deploy(settings=RuntimeSettings(replicas=2))
    await api.db.write(make_ready, made.deployment_id, hostname=HOSTNAME)
    return made


Scale = Callable[..., Awaitable[environment_pb2.ScaleResponse]]


@pytest.fixture
async def scale(api: RunningApi, project: project_pb2.Project) -> Scale:
    """Scales production."""
    environment = await production(api, project)

    async def call(replicas: int, key: str | None = None) -> environment_pb2.ScaleResponse:
        request = environment_pb2.ScaleRequest(
            environment_id=environment.environment_id, replicas=replicas, idempotency_key=key
        )
        answer: environment_pb2.ScaleResponse = await api.admin.environment.Scale(request)
        return answer

    return call


async def carry_out(api: RunningApi, operation_id: str) -> None:
    """What the worker does first."""

    def run(connection) -> None:  # type: ignore[no-untyped-def]
        assert operations.begin(connection, operation_id)
        found = operations.get(connection, operation_id)
        assert found is not None
        effects.apply(connection, found, 1)

    await api.db.write(run)


async def test_a_scale_is_recorded_once(api: RunningApi, live: deployment_pb2.Deployment, scale: Scale) -> None:
    """Promise: the operation says the number and whom it concerns; a repeated call records nothing."""
    first = await scale(3, "k1")
    assert not first.already_recorded
    assert (first.operation.kind, first.operation.replicas) == (deployment_pb2.OPERATION_KIND_SCALE, 3)
    assert first.operation.deployment_id == live.deployment_id
    again = await scale(3, "k1")
    assert (again.already_recorded, again.operation.operation_id) == (True, first.operation.operation_id)
    with pytest.raises(aio.AioRpcError) as caught:
        await scale(4, "k1")
    assert refused(caught.value)[1] == "idempotency.mismatch"


async def test_the_number_reaches_the_region_and_stays(
    api: RunningApi, project: project_pb2.Project, deploy: Deploy, live: deployment_pb2.Deployment, scale: Scale
) -> None:
    """Promise: the feed, the deployment and the environment say it; a deploy keeps it, and says what does not count."""
    await register(api)
    await api.db.write(place, live.deployment_id)
    await carry_out(api, (await scale(5)).operation.operation_id)
    call = watch(api)
    sent = [m.topology for m in await until_head(call) if m.HasField("topology")]
    call.cancel()
    assert sent[-1].settings.replicas == 5
    assert (await production(api, project)).replicas == 5
    request = deployment_pb2.GetDeploymentRequest(deployment_id=live.deployment_id)
    shown = (await api.admin.deployment.GetDeployment(request)).deployment
    assert (shown.replicas, shown.settings.replicas) == (5, 2)
    other = await deploy(settings=RuntimeSettings(replicas=2))
    assert other.replicas == 5
    assert "replicas = 2 of [run] does not count: the environment was scaled to 5" in other.notices[0]
    assert (await deploy(settings=RuntimeSettings(replicas=5))).notices == []
    assert (await deploy()).notices == []
    bounded = await deploy(settings=RuntimeSettings(max_replicas=3))
    assert (bounded.replicas, "the bounds of [run] replace" in bounded.notices[0]) == (1, True)


async def test_what_a_scale_refuses(
    api: RunningApi, project: project_pb2.Project, deploy: Deploy, scale: Scale
) -> None:
    """Promise: 0, more than 20, nothing deployed, stopped and bounds are each refused with the next step."""

    async def refusal(replicas: int) -> tuple[grpc.StatusCode, str, str, str]:
        with pytest.raises(aio.AioRpcError) as caught:
            await scale(replicas)
        found: tuple[grpc.StatusCode, str, str, str] = refused(caught.value)
        return found

    status, _, field, message = await refusal(0)
    assert (status, field) == (grpc.StatusCode.INVALID_ARGUMENT, "replicas")
    assert "sealift stop --live" in message
    assert (await refusal(21))[2] == "replicas"
    assert (await refusal(2))[1] == "environment.nothing_live"
    bounded = await deploy(settings=RuntimeSettings(min_replicas=2, max_replicas=4))
    await api.db.write(make_ready, bounded.deployment_id, hostname=HOSTNAME)
    _, code, _, message = await refusal(2)
    assert (code, "min_replicas = 2 and max_replicas = 4" in message) == ("environment.autoscaled", True)


async def test_settings_can_not_contradict_the_number(
    api: RunningApi, project: project_pb2.Project, live: deployment_pb2.Deployment, scale: Scale
) -> None:
    """Promise: a number that would not count is refused, and names the command."""
    await carry_out(api, (await scale(3)).operation.operation_id)
    environment_id = (await production(api, project)).environment_id

    async def update(replicas: int) -> None:
        request = environment_pb2.UpdateEnvironmentRequest(
            environment_id=environment_id, settings=RuntimeSettings(replicas=replicas)
        )
        await api.admin.environment.UpdateEnvironment(request)

    await update(3)
    with pytest.raises(aio.AioRpcError) as caught:
        await update(4)
    _, code, field, message = refused(caught.value)
    assert (code, field) == ("environment.scaled", "settings.replicas")
    assert "sealift scale 4" in message


async def test_a_restart(api: RunningApi, live: deployment_pb2.Deployment) -> None:
    """Promise: recorded once, sent to the region as a number that grows, refused for what does not run."""
    await register(api, capabilities=sorted(BASELINE | {APP_RESTART}))
    await api.db.write(place, live.deployment_id)
    request = deployment_pb2.RestartRequest(deployment_id=live.deployment_id, idempotency_key="k1")
    first = await api.admin.deployment.Restart(request)
    assert first.operation.kind == deployment_pb2.OPERATION_KIND_RESTART
    again = await api.admin.deployment.Restart(request)
    assert (again.already_recorded, again.operation.operation_id) == (True, first.operation.operation_id)
    await carry_out(api, first.operation.operation_id)
    call = watch(api)
    sent = [m for m in await until_head(call) if m.HasField("topology")]
    call.cancel()
    assert sent[-1].topology.restart_generation > 0
    assert sent[-1].required_capabilities == []
    await api.db.write(deployments.set_run_state, live.deployment_id, RunState.STOPPING, 1)
    with pytest.raises(aio.AioRpcError) as caught:
        await api.admin.deployment.Restart(deployment_pb2.RestartRequest(deployment_id=live.deployment_id))
    assert refused(caught.value)[1] == "deployment.not_running"


async def test_a_restart_that_would_leave_a_gap(api: RunningApi, deploy: Deploy) -> None:
    """Promise: where an autoscaler has chosen an only instance the restart is refused, with two it is not."""
    await register(api, capabilities=sorted(BASELINE | {APP_RESTART}))
    await api.db.write(lambda c: c.execute(regions.update().values(runtime="kubernetes")))
    made = await deploy(settings=RuntimeSettings(min_replicas=1, max_replicas=4))
    await api.db.write(make_ready, made.deployment_id, hostname=HOSTNAME)
    await api.db.write(place, made.deployment_id)
    request = deployment_pb2.RestartRequest(deployment_id=made.deployment_id)
    await report(api, seen(made.deployment_id, deployment_pb2.INSTANCE_STATE_HEALTHY, NOW, 0))
    with pytest.raises(aio.AioRpcError) as caught:
        await api.admin.deployment.Restart(request)
    _, code, _, message = refused(caught.value)
    assert (code, "min_replicas = 2" in message) == ("deployment.only_instance", True)
    await report(api, seen(made.deployment_id, deployment_pb2.INSTANCE_STATE_HEALTHY, NOW, 1))
    assert (await api.admin.deployment.Restart(request)).operation.operation_id
