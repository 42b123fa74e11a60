"""Deployments of earlier builds, through a real channel and a real database file."""

import grpc
import pytest
from sqlalchemy import update

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus, RecordedImage
from pkg.builds.tables import builds as table
from pkg.clock import now_ms
from pkg.deployments import queries as deployments
from pkg.deployments.status import Source
from pkg.ids import new_id
from pkg.regions import queries as regions
from pkg.workspaces.tables import workspaces
from sealift.ctrl.v1 import build_pb2, project_pb2
from sealift.ctrl.v1 import deployment_pb2 as pb
from svc.api.conftest import Deploy, Upload
from svc.api.deployment_testing import make_ready
from svc.api.testing import RecordingRestate, RunningApi, eventually, refused

ON_ENGINE = RecordedImage("engine:sha256:" + "1" * 64, "sealift/proj:bld", "linux/amd64")
IN_REGISTRY = RecordedImage("registry.test/proj@sha256:" + "1" * 64, "registry.test/proj:bld", "linux/amd64")


@pytest.fixture
async def build_id(api: RunningApi, project: project_pb2.Project, upload: Upload) -> str:
    """A build without a deployment that has not started."""
    context = build_pb2.BuildContext(build_context_path=await upload(project.project_id))
    request = build_pb2.CreateBuildRequest(project_id=project.project_id, build_context=context)
    return str((await api.admin.build.CreateBuild(request)).build.build_id)


async def succeed(api: RunningApi, build_id: str, image: RecordedImage = ON_ENGINE) -> None:
    await api.db.write(builds.finish, build_id, BuildStatus.SUCCEEDED, now_ms(), image=image)


def request_for(project_id: str, build_id: str) -> pb.CreateDeploymentRequest:
    return pb.CreateDeploymentRequest(project_id=project_id, environment_slug="production", build_id=build_id)


async def refusal(api: RunningApi, project_id: str, build_id: str) -> tuple[grpc.StatusCode, str, str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.admin.deployment.CreateDeployment(request_for(project_id, build_id))
    return refused(caught.value)


@pytest.mark.parametrize(("image", "region"), [(ON_ENGINE, "local"), (IN_REGISTRY, None)])
async def test_a_build_is_deployed_without_building(
    api: RunningApi,
    project: project_pb2.Project,
    build_id: str,
    restate: RecordingRestate,
    image: RecordedImage,
    region: str | None,
) -> None:
    """Promise: the deployment has the build's image from the start, on an engine or in a registry; nothing is built."""
    await api.db.write(
        lambda c: regions.register(
            c, name="local", krane_instance_id="k", krane_version="0", runtime="docker", engine="", now=1
        )
    )
    await succeed(api, build_id, image)
    for _ in range(2):
        made = (await api.admin.deployment.CreateDeployment(request_for(project.project_id, build_id))).deployment
        assert (made.source, made.build_id) == (pb.DEPLOYMENT_SOURCE_BUILD, build_id)
        assert (made.image_ref, made.docker_image) == (image.image_ref, "")
        row = await api.db.read(deployments.get, made.deployment_id)
        assert row is not None
        assert (row.source, row.image_region) == (Source.BUILD, region)
        await eventually(lambda: restate.count("Deploy", "run", made.deployment_id) == 1, "dispatched")  # noqa: B023
    assert restate.count("Build", "run", build_id) == 1
    build = (await api.admin.build.GetBuild(build_pb2.GetBuildRequest(build_id=build_id))).build
    assert (build.deployment_id, build.status) == ("", build_pb2.BUILD_STATUS_SUCCEEDED)


async def test_the_build_of_a_deployment_is_deployed_again(
    api: RunningApi, project: project_pb2.Project, deploy: Deploy, upload: Upload
) -> None:
    """Promise: what a deploy has built can go to another environment; it can be rolled back to like any other."""
    context = build_pb2.BuildContext(build_context_path=await upload(project.project_id))
    first = await deploy(build_context=context)
    await succeed(api, first.build_id)
    request = request_for(project.project_id, first.build_id)
    request.environment_slug = "preview"
    made = (await api.admin.deployment.CreateDeployment(request)).deployment
    assert (made.build_id, made.environment_slug) == (first.build_id, "preview")
    await api.db.write(make_ready, made.deployment_id, hostname="hello-env-preview.sealift.localhost")
    second = (await api.admin.deployment.CreateDeployment(request)).deployment
    await api.db.write(make_ready, second.deployment_id)
    promoted = await api.admin.deployment.Promote(pb.PromoteRequest(deployment_id=second.deployment_id))
    assert promoted.operation.deployment_id == second.deployment_id


async def test_cancelling_a_deployment_of_a_build_leaves_the_build(
    api: RunningApi, project: project_pb2.Project, build_id: str
) -> None:
    """Promise: an earlier build keeps its outcome whatever becomes of a deployment of it."""
    await succeed(api, build_id)
    for _ in range(2):  # the second one supersedes the first
        made = (await api.admin.deployment.CreateDeployment(request_for(project.project_id, build_id))).deployment
    await api.admin.deployment.CancelDeployment(pb.CancelDeploymentRequest(deployment_id=made.deployment_id))
    build = (await api.admin.build.GetBuild(build_pb2.GetBuildRequest(build_id=build_id))).build
    assert (build.status, build.image_ref) == (build_pb2.BUILD_STATUS_SUCCEEDED, ON_ENGINE.image_ref)


async def test_an_idempotency_key_deploys_once(api: RunningApi, project: project_pb2.Project, build_id: str) -> None:
    """Promise: the same key with the same build is the same deployment; with another build it is refused."""
    await succeed(api, build_id)
    request = request_for(project.project_id, build_id)
    request.idempotency_key = "k1"
    first = await api.admin.deployment.CreateDeployment(request)
    again = await api.admin.deployment.CreateDeployment(request)
    assert (again.already_recorded, again.deployment) == (True, first.deployment)
    # the image may go meanwhile: what was recorded is answered
    await api.db.write(lambda c: c.execute(update(table).where(table.c.id == build_id).values(image_ref="")))
    assert (await api.admin.deployment.CreateDeployment(request)).already_recorded
    request.build_id = new_id("bld")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.admin.deployment.CreateDeployment(request)
    assert refused(caught.value)[0] is grpc.StatusCode.ALREADY_EXISTS


async def test_what_can_not_be_deployed_is_refused(
    api: RunningApi, project: project_pb2.Project, build_id: str, upload: Upload
) -> None:
    """Promise: each refusal has a code, names the field, and says what to do."""
    mine = project.project_id
    assert await refusal(api, mine, "bld_1") == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "invalid_argument",
        "build_id",
        "build_id: 'bld_1' is not a build id: those look like bld_06b7k3…",
    )
    assert (await refusal(api, mine, new_id("bld")))[:3] == (grpc.StatusCode.NOT_FOUND, "build.not_found", "build_id")

    status, code, field, message = await refusal(api, mine, build_id)
    assert (status, code, field) == (grpc.StatusCode.FAILED_PRECONDITION, "build.not_finished", "build_id")
    assert f"sealift logs --build --follow {build_id}" in message

    other = (await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="other"))).project
    await succeed(api, build_id)
    status, code, field, message = await refusal(api, other.project_id, build_id)
    assert (status, code, field) == (grpc.StatusCode.INVALID_ARGUMENT, "build.foreign", "build_id")
    assert "sealift builds --project other" in message

    await api.db.write(lambda c: c.execute(update(table).where(table.c.id == build_id).values(image_ref="")))
    assert (await refusal(api, mine, build_id))[1] == "build.image_gone"

    for ended, words in ((BuildStatus.FAILED, "failed"), (BuildStatus.CANCELLED, "was cancelled")):
        await api.db.write(lambda c: c.execute(update(table).where(table.c.id == build_id).values(status=ended)))  # noqa: B023
        _, code, _, message = await refusal(api, mine, build_id)
        assert code == "build.not_succeeded"
        assert words in message


async def test_builds_of_other_workspaces_do_not_exist(
    api: RunningApi, project: project_pb2.Project, build_id: str
) -> None:
    """Promise: one workspace never sees another's builds."""
    await succeed(api, build_id)

    def move(connection: object) -> None:
        found = connection.execute(workspaces.select()).one()  # type: ignore[attr-defined]
        values = {**found._mapping, "id": "ws_other", "slug": "other"}
        connection.execute(workspaces.insert().values(**values))  # type: ignore[attr-defined]
        connection.execute(update(table).values(workspace_id="ws_other"))  # type: ignore[attr-defined]

    await api.db.write(move)
    assert (await refusal(api, project.project_id, build_id))[:2] == (grpc.StatusCode.NOT_FOUND, "build.not_found")
