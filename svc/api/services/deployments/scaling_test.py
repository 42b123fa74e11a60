"""Bounds of the number of instances: recorded with a deployment, sent to krane, and what krane says of them shown."""

from typing import Any

import grpc
import pytest
from grpc import aio

from sealift.ctrl.v1 import cluster_pb2, deployment_pb2, environment_pb2, project_pb2
from sealift.ctrl.v1.common_pb2 import RuntimeSettings
from svc.api.cluster_testing import NOW, place, register, report, seen, until_head, watch
from svc.api.conftest import Deploy
from svc.api.testing import RunningApi, refused

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY


def numbers(settings: RuntimeSettings) -> tuple[int, int, int, int]:
    """(replicas, min_replicas, max_replicas, target_cpu_percent); 0 for what is not present."""
    return (settings.replicas, settings.min_replicas, settings.max_replicas, settings.target_cpu_percent)


async def set_environment(api: RunningApi, project: project_pb2.Project, **fields: Any) -> RuntimeSettings:
    """The settings of production after this change."""
    listed = await api.admin.environment.ListEnvironments(
        environment_pb2.ListEnvironmentsRequest(project_id=project.project_id)
    )
    request = environment_pb2.UpdateEnvironmentRequest(
        environment_id=listed.environments[0].environment_id, settings=RuntimeSettings(**fields)
    )
    answer: RuntimeSettings = (await api.admin.environment.UpdateEnvironment(request)).environment.settings
    return answer


async def shown(api: RunningApi, deployment_id: str) -> deployment_pb2.Deployment:
    request = deployment_pb2.GetDeploymentRequest(deployment_id=deployment_id)
    found: deployment_pb2.Deployment = (await api.admin.deployment.GetDeployment(request)).deployment
    return found


async def test_bounds_reach_the_snapshot_and_the_region(api: RunningApi, deploy: Deploy) -> None:
    """Promise: status and feed have the bounds with their defaults; an older krane runs the least number."""
    await register(api)
    made = await deploy(settings=RuntimeSettings(min_replicas=2, max_replicas=8))
    fixed = await deploy(settings=RuntimeSettings(replicas=3))
    assert (numbers(made.settings), numbers(fixed.settings)) == ((2, 2, 8, 80), (3, 0, 0, 0))
    assert not fixed.settings.HasField("max_replicas")
    for one in (made, fixed):
        await api.db.write(place, one.deployment_id)
    call = watch(api)
    sent = {m.topology.deployment_id: m.topology for m in await until_head(call) if m.HasField("topology")}
    call.cancel()
    assert numbers(sent[made.deployment_id].settings) == (2, 2, 8, 80)
    assert numbers(sent[fixed.deployment_id].settings) == (3, 0, 0, 0)


async def test_layers(api: RunningApi, project: project_pb2.Project, deploy: Deploy) -> None:
    """Promise: what a deploy leaves out comes from the environment; a fixed number ends bounds, and bounds end it."""
    assert numbers(await set_environment(api, project, max_replicas=6, target_cpu_percent=50)) == (1, 1, 6, 50)
    assert numbers((await deploy(settings=RuntimeSettings(min_replicas=3))).settings) == (3, 3, 6, 50)
    assert numbers((await deploy(settings=RuntimeSettings(replicas=2))).settings) == (2, 0, 0, 0)
    assert numbers(await set_environment(api, project, replicas=4)) == (4, 0, 0, 0)
    assert numbers((await deploy(settings=RuntimeSettings(max_replicas=5))).settings) == (1, 1, 5, 80)
    assert numbers(await set_environment(api, project, min_replicas=2, max_replicas=4)) == (2, 2, 4, 80)


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"replicas": 2, "max_replicas": 4}, "replicas", "replicas (2) is a fixed number, max_replicas (4)"),
        ({"min_replicas": 5, "max_replicas": 4}, "min_replicas", "min_replicas (5) is greater than max_replicas (4)"),
        ({"min_replicas": 5}, "max_replicas", "is required with min_replicas (5)"),
        ({"target_cpu_percent": 50}, "max_replicas", "is required with target_cpu_percent (50)"),
        ({"max_replicas": 21}, "max_replicas", "21"),
        ({"min_replicas": 0, "max_replicas": 2}, "min_replicas", "0"),
        ({"max_replicas": 2, "target_cpu_percent": 101}, "target_cpu_percent", "101"),
    ],
)
async def test_what_can_not_be_is_refused(
    api: RunningApi, project: project_pb2.Project, deploy: Deploy, fields: dict[str, Any], field: str, words: str
) -> None:
    """Promise: a deploy and an environment refuse the same, with the field and the values at fault."""
    calls: list[Any] = [deploy(settings=RuntimeSettings(**fields)), set_environment(api, project, **fields)]
    for call in calls:
        with pytest.raises(aio.AioRpcError) as caught:
            await call
        status, _, named, message = refused(caught.value)
        assert (status, named) == (grpc.StatusCode.INVALID_ARGUMENT, f"settings.{field}")
        assert words in message


async def test_a_deploy_can_not_contradict_its_environment(
    api: RunningApi, project: project_pb2.Project, deploy: Deploy
) -> None:
    """Promise: bounds that are in order alone, but not with those of the environment, are refused."""
    await set_environment(api, project, min_replicas=4, max_replicas=6)
    with pytest.raises(aio.AioRpcError) as caught:
        await deploy(settings=RuntimeSettings(max_replicas=3))
    assert refused(caught.value)[2] == "settings.min_replicas"
    assert "taken from the environment" in refused(caught.value)[3]


async def test_a_region_that_does_not_scale_says_so(api: RunningApi, deploy: Deploy) -> None:
    """Promise: krane's reason is a notice of the deployment, once for a region, for as long as it holds."""
    await register(api)
    made = await deploy(settings=RuntimeSettings(min_replicas=2, max_replicas=8))
    await api.db.write(place, made.deployment_id)

    def both(at: int, notice: str) -> list[cluster_pb2.InstanceReport]:
        found = [seen(made.deployment_id, HEALTHY, at, replica) for replica in range(2)]
        for one in found:
            one.scaling_notice = notice
        return found

    await report(api, *both(NOW, "the cluster has no metrics\0" + "x" * 2000))
    (notice,) = (await shown(api, made.deployment_id)).notices
    assert notice.startswith("region local: the cluster has no metricsx")
    await report(api, *both(NOW + 1, ""))
    assert list((await shown(api, made.deployment_id)).notices) == []
