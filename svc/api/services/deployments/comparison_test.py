"""CompareDeployments through a real channel."""

import grpc
import pytest

from sealift.ctrl.v1 import deployment_pb2 as pb
from sealift.ctrl.v1 import environment_pb2, project_pb2
from svc.api.conftest import Deploy
from svc.api.testing import RunningApi, refused

Same = pb.VARIABLE_COMPARISON_SAME
Different = pb.VARIABLE_COMPARISON_DIFFERENT


async def set_variables(api: RunningApi, environment_id: str, **variables: str) -> None:
    await api.admin.environment.UpdateEnvironment(
        environment_pb2.UpdateEnvironmentRequest(environment_id=environment_id, set_variables=variables)
    )


async def compare(api: RunningApi, first: str, second: str) -> pb.CompareDeploymentsResponse:
    request = pb.CompareDeploymentsRequest(deployment_id=first, other_deployment_id=second)
    answer: pb.CompareDeploymentsResponse = await api.admin.deployment.CompareDeployments(request)
    return answer


async def test_variables_are_compared_and_not_told(api: RunningApi, deploy: Deploy) -> None:
    """Promise: each name with whether the values differ, also between environments, whose keys differ; no value."""
    first = await deploy(variables={"PLAIN": "one", "GONE": "secret-1"})
    await set_variables(api, first.environment_id, SEALED="secret-2", PLAIN="one")
    second = await deploy(variables={"PLAIN": "two", "NEW": "secret-3"})
    preview = await deploy(environment_slug="preview", variables={"SEALED": "secret-2", "PLAIN": "two"})
    found = await compare(api, first.deployment_id, second.deployment_id)
    assert {one.name: one.comparison for one in found.variables} == {
        "GONE": pb.VARIABLE_COMPARISON_ONLY_FIRST,
        "NEW": pb.VARIABLE_COMPARISON_ONLY_SECOND,
        "PLAIN": Same,  # that of the environment overrides that of the deployment
        "SEALED": pb.VARIABLE_COMPARISON_ONLY_SECOND,
    }
    assert (found.deployment.deployment_id, found.other.deployment_id) == (first.deployment_id, second.deployment_id)
    assert [one.name for one in found.variables] == ["GONE", "NEW", "PLAIN", "SEALED"]
    assert b"secret-" not in found.SerializeToString()
    crossing = await compare(api, second.deployment_id, preview.deployment_id)
    assert {one.name: one.comparison for one in crossing.variables} == {
        "NEW": pb.VARIABLE_COMPARISON_ONLY_FIRST,
        "PLAIN": Different,
        "SEALED": Same,
    }
    same = await compare(api, first.deployment_id, first.deployment_id)
    assert {one.comparison for one in same.variables} == {Same}


async def test_what_can_not_be_compared(api: RunningApi, deploy: Deploy) -> None:
    """Promise: the field at fault is named: an id that is none, one that is unknown, another project's."""
    ident = (await deploy()).deployment_id
    other = await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="other"))
    foreign = (await deploy(project_id=other.project.project_id)).deployment_id
    unknown = "dep_" + "0" * 26
    for first, second, code, field in (
        ("x", ident, grpc.StatusCode.INVALID_ARGUMENT, "deployment_id"),
        (ident, "x", grpc.StatusCode.INVALID_ARGUMENT, "other_deployment_id"),
        (unknown, ident, grpc.StatusCode.NOT_FOUND, "deployment_id"),
        (ident, unknown, grpc.StatusCode.NOT_FOUND, "other_deployment_id"),
        (ident, foreign, grpc.StatusCode.INVALID_ARGUMENT, "other_deployment_id"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await compare(api, first, second)
        assert refused(error.value)[0::2] == (code, field)
