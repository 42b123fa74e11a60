"""The reason that a client receives for a deploy that has not started."""

from sqlalchemy import update

from pkg.builds.model import BuildStatus
from pkg.builds.tables import builds
from sealift.ctrl.v1 import build_pb2, project_pb2
from sealift.ctrl.v1 import deployment_pb2 as pb
from svc.api.conftest import Upload
from svc.api.testing import RunningApi


async def test_waiting_for_a_build_slot(api: RunningApi, project: project_pb2.Project, upload: Upload) -> None:
    """Promise: a deploy that waits for a build slot says so, with the number before it; one that may start does not."""
    path = await upload(project.project_id)

    async def deploy(branch: str) -> pb.Deployment:
        request = pb.CreateDeploymentRequest(
            project_id=project.project_id,
            environment_slug="production",
            branch=branch,
            build_context=build_pb2.BuildContext(build_context_path=path),
        )
        return (await api.admin.deployment.CreateDeployment(request)).deployment  # type: ignore[no-any-return]

    async def reason(deployment: pb.Deployment) -> str:
        request = pb.GetDeploymentRequest(deployment_id=deployment.deployment_id)
        return str((await api.admin.deployment.GetDeployment(request)).deployment.queued_reason)

    async def is_now(deployment: pb.Deployment, status: BuildStatus) -> None:
        statement = update(builds).where(builds.c.id == deployment.build_id).values(status=status)
        await api.db.write(lambda connection: connection.execute(statement))

    first, second = await deploy("a"), await deploy("b")
    await is_now(first, BuildStatus.RUNNING)
    assert await reason(second) == ""
    await is_now(second, BuildStatus.RUNNING)
    third = await deploy("c")
    assert third.queued_reason == "all 2 build slots are in use; it starts automatically"
    build = (await api.admin.build.GetBuild(build_pb2.GetBuildRequest(build_id=third.build_id))).build
    assert build.queued_reason == third.queued_reason
    listed = await api.admin.build.ListBuilds(build_pb2.ListBuildsRequest(project_id=project.project_id))
    assert [one.queued_reason for one in listed.builds] == [third.queued_reason, "", ""]
    watched = api.admin.deployment.WatchDeployment(pb.WatchDeploymentRequest(deployment_id=third.deployment_id))
    assert (await watched.read()).deployment.queued_reason == third.queued_reason
    later = await deploy("d")
    assert await reason(later) == "all 2 build slots are in use, 1 waits before this one; it starts automatically"
    await is_now(first, BuildStatus.SUCCEEDED)
    assert (await watched.read()).deployment.queued_reason == ""
    watched.cancel()
