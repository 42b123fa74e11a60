"""Through a real channel: what is built on one engine is refused where not every region has that engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from msgspec.structs import replace as with_changes

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus, RecordedImage
from pkg.clock import now_ms
from pkg.regions import queries as regions
from pkg.registry.config import RegistryAddress
from sealift.ctrl.v1 import build_pb2, cluster_pb2, project_pb2
from svc.api.cluster_testing import register
from svc.api.config import BootstrapKey, Build
from svc.api.conftest import Deploy, Upload
from svc.api.testing import REGION, RecordingRestate, RunningApi, config_in, refused, running_api

REGISTRY = RegistryAddress(url="r.example.com/apps")
ON_ENGINE = RecordedImage("engine:sha256:" + "1" * 64, "sealift/proj:bld", "linux/amd64")
IN_REGISTRY = RecordedImage("r.example.com/apps/proj@sha256:" + "1" * 64, "r.example.com/apps/proj:bld", "linux/amd64")


async def add_region(api: RunningApi, name: str, runtime: str = "docker") -> None:
    """One that has been registered before the rule, or with other settings."""
    await api.db.write(
        lambda c: regions.register(
            c, name=name, krane_instance_id="k", krane_version="1", runtime=runtime, engine="", now=now_ms()
        )
    )


@pytest.mark.parametrize(("name", "runtime"), [("second", "docker"), (REGION, "kubernetes")])
async def test_nothing_is_built_that_a_region_cannot_run(
    api: RunningApi, project: project_pb2.Project, upload: Upload, deploy: Deploy, name: str, runtime: str
) -> None:
    """Promise: a build and a deploy from source are refused before they begin, with what to set; images go on."""
    context = build_pb2.BuildContext(build_context_path=await upload(project.project_id))
    request = build_pb2.CreateBuildRequest(project_id=project.project_id, build_context=context)
    await register(api)
    earlier = (await api.admin.build.CreateBuild(request)).build.build_id
    await api.db.write(builds.finish, earlier, BuildStatus.SUCCEEDED, now_ms(), image=ON_ENGINE)
    await add_region(api, name, runtime)
    for call in (
        api.admin.build.CreateBuild(request),
        deploy(docker_image="", build_context=context),
        deploy(docker_image="", build_id=earlier),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        status, code, _, message = refused(caught.value)
        assert (status, code) == (grpc.StatusCode.FAILED_PRECONDITION, "image.not_portable")
        assert "[registry] url, username and password in the worker's configuration" in message
    assert (await deploy(docker_image="nginx:1.27")).deployment_id


class TestWithARegistry:
    """The same regions, once the api knows of a registry."""

    @pytest.fixture
    async def api(self, tmp_path: Path, restate: RecordingRestate) -> AsyncIterator[RunningApi]:
        """With a registry."""
        async with running_api(with_changes(config_in(tmp_path, restate.url), registry=REGISTRY)) as one:
            yield one

    async def test_every_region_is_served(
        self, api: RunningApi, project: project_pb2.Project, upload: Upload, deploy: Deploy
    ) -> None:
        """Promise: regions are added and builds go on; only an image of before the registry is refused."""
        context = build_pb2.BuildContext(build_context_path=await upload(project.project_id))
        request = build_pb2.CreateBuildRequest(project_id=project.project_id, build_context=context)
        await add_region(api, "second", "kubernetes")
        await register(api)
        made = [(await api.admin.build.CreateBuild(request)).build.build_id for _ in range(2)]
        for build_id, image in zip(made, (IN_REGISTRY, ON_ENGINE), strict=True):
            await api.db.write(builds.finish, build_id, BuildStatus.SUCCEEDED, now_ms(), image=image)
        assert (await deploy(docker_image="", build_context=context)).build_id
        assert (await deploy(docker_image="", build_id=made[0])).image_ref == IN_REGISTRY.image_ref
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await deploy(docker_image="", build_id=made[1])
        _, code, _, message = refused(caught.value)
        assert (code, "Then build again" in message) == ("image.not_portable", True)


async def test_a_region_that_could_not_run_builds(api: RunningApi) -> None:
    """Promise: krane of a second region, or of a Kubernetes one, reads at its start what to set; a known one stays."""
    kubernetes = cluster_pb2.RegisterRequest(region=REGION, instance_id="k", version="1", runtime="kubernetes")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.krane.cluster.Register(kubernetes)
    status, code, _, message = refused(caught.value)
    assert (status, code) == (grpc.StatusCode.FAILED_PRECONDITION, "region.needs_registry")
    assert "runs on Kubernetes" in message
    assert "[registry] url in the api's" in message
    await add_region(api, "other")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await register(api)
    assert "2 regions are registered (local, other)" in refused(caught.value)[3]
    await add_region(api, REGION)
    assert await register(api)


def test_an_api_for_two_regions_needs_a_registry(tmp_path: Path) -> None:
    """Promise: the configuration of two regions with the docker builder alone is refused at start, with what to set."""
    config = config_in(tmp_path, "http://127.0.0.1:1")
    second = BootstrapKey(name="krane-b", role="cluster", file=tmp_path / "krane.key", region="b")
    two = with_changes(config, bootstrap_keys=(*config.bootstrap_keys, second))
    (problem,) = two.problems()
    assert problem.startswith("registry.url: is required, because bootstrap_keys are for 2 regions (b, local)")
    for fine in (config, with_changes(two, registry=REGISTRY), with_changes(two, build=Build(backend="buildkit"))):
        assert fine.problems() == []
