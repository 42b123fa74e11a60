"""Which images a project may name, through a real channel and a real database file."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from msgspec.structs import replace

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus, RecordedImage
from pkg.clock import now_ms
from pkg.ids import new_id
from pkg.images import build_image
from pkg.images.config import Images
from pkg.registry.config import RegistryAddress
from sealift.ctrl.v1 import build_pb2, project_pb2
from sealift.ctrl.v1 import deployment_pb2 as pb
from svc.api.conftest import Deploy, Upload
from svc.api.testing import RecordingRestate, RunningApi, config_in, refused, running_api

URL = "registry.test/apps"
ALLOWED = "sealift/tools"


@pytest.fixture
async def api(tmp_path: Path, restate: RecordingRestate) -> AsyncIterator[RunningApi]:
    """An api with a registry and a list of allowed images."""
    config = replace(
        config_in(tmp_path, restate.url),
        registry=RegistryAddress(url=URL),
        images=Images(allow_local=(ALLOWED,)),
    )
    async with running_api(config) as one:
        yield one


@pytest.fixture
async def other(api: RunningApi) -> project_pb2.Project:
    """Another project of the workspace."""
    answer = await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="other"))
    found: project_pb2.Project = answer.project
    return found


async def built(api: RunningApi, project_id: str, upload: Upload) -> build_pb2.Build:
    """A build of the project that has succeeded."""
    context = build_pb2.BuildContext(build_context_path=await upload(project_id))
    request = build_pb2.CreateBuildRequest(project_id=project_id, build_context=context)
    build = (await api.admin.build.CreateBuild(request)).build
    ref = f"{build_image(project_id, '', URL).repository}@sha256:" + "1" * 64
    image = RecordedImage(ref, str(build_image(project_id, build.build_id, URL)), "linux/amd64")
    await api.db.write(builds.finish, build.build_id, BuildStatus.SUCCEEDED, now_ms(), image=image)
    found: build_pb2.Build = (await api.admin.build.GetBuild(build_pb2.GetBuildRequest(build_id=build.build_id))).build
    return found


async def refusal(deploy: Deploy, image: str) -> tuple[grpc.StatusCode, str, str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await deploy(docker_image=image)
    return refused(caught.value)


async def test_the_name_of_an_own_build_deploys_that_build(
    api: RunningApi, project: project_pb2.Project, deploy: Deploy, upload: Upload
) -> None:
    """Promise: by its name on the engine or in the registry, or by its digest, what the build recorded runs."""
    build = await built(api, project.project_id, upload)
    names = [str(build_image(project.project_id, build.build_id, url)) for url in ("", URL)]
    for name in (*names, build.image_ref, build.image_ref.replace("registry.test", "REGISTRY.test:443")):
        made = await deploy(docker_image=name)
        assert (made.source, made.build_id, made.image_ref, made.docker_image) == (
            pb.DEPLOYMENT_SOURCE_BUILD, build.build_id, build.image_ref, "",
        )  # fmt: skip


async def test_builds_of_others_are_refused(
    api: RunningApi, project: project_pb2.Project, other: project_pb2.Project, deploy: Deploy, upload: Upload
) -> None:
    """Promise: a project runs no build of another, in no spelling; nothing is recorded, and the message has its own."""
    build = await built(api, other.project_id, upload)
    for url in ("", URL):
        theirs = str(build_image(other.project_id, build.build_id, url))
        for image in (
            theirs,
            f"docker.io/{theirs}" if not url else theirs.replace("registry.test", "Registry.TEST:443"),
        ):
            status, code, field, message = await refusal(deploy, image)
            assert (status, code, field) == (grpc.StatusCode.INVALID_ARGUMENT, "image.not_allowed", "docker_image")
            assert build_image(project.project_id, "").repository.rpartition("/")[2] in message
    listed = await api.admin.deployment.ListDeployments(pb.ListDeploymentsRequest(project_id=project.project_id))
    assert not listed.deployments


async def test_an_own_build_must_exist(
    api: RunningApi, project: project_pb2.Project, other: project_pb2.Project, deploy: Deploy, upload: Upload
) -> None:
    """Promise: the own repository on an engine has builds only; another project's id in it is unknown, not a hint."""
    theirs = await built(api, other.project_id, upload)
    for build_id in (theirs.build_id, new_id("bld"), "latest"):
        status, code, field, _ = await refusal(deploy, str(build_image(project.project_id, build_id)))
        assert (status, code, field) == (grpc.StatusCode.NOT_FOUND, "build.not_found", "docker_image")


async def test_everything_else_is_left_to_the_region(
    api: RunningApi, project: project_pb2.Project, deploy: Deploy
) -> None:
    """Promise: images of registries, other tags of the own repository, and what the operator allows are recorded as
    named."""
    digest = f"{build_image(project.project_id, '', URL).repository}@sha256:" + "2" * 64
    for image in ("nginx:1.27", f"{ALLOWED}:3", str(build_image(project.project_id, "mine", URL)), digest):
        made = await deploy(docker_image=image)
        assert (made.source, made.docker_image, made.image_ref) == (pb.DEPLOYMENT_SOURCE_IMAGE, image, "")
    spelled = digest.replace("registry.test", "Registry.test:443")
    assert (await deploy(docker_image=spelled)).docker_image == digest, "one spelling, so that it is found when kept"
