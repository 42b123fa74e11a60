"""Which of the images on a region's engine the api calls unused."""

import grpc
import pytest
from grpc import aio
from sqlalchemy import select

from pkg.clock import now_ms
from pkg.deployments import queries as deployments
from pkg.deployments.status import Status
from pkg.deployments.tables import deployments as table
from pkg.retention.rules import FRESH_MS
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.api.cluster_testing import register
from svc.api.conftest import Deploy
from svc.api.deployment_testing import make_ready, walk_to
from svc.api.testing import REGION, RunningApi, refused

OLD_MS = 2 * FRESH_MS


def image(digit: str, *names: str, age_ms: int = OLD_MS) -> pb.StoredImage:
    return pb.StoredImage(image_ref=f"engine:sha256:{digit * 64}", names=names, created_at=now_ms() - age_ms)


async def unused(api: RunningApi, *images: pb.StoredImage) -> list[str]:
    """The first digits of the images that the api names."""
    answer = await api.krane.cluster.ReportImages(pb.ReportImagesRequest(region=REGION, images=images))
    return [image_ref.removeprefix("engine:sha256:")[0] for image_ref in answer.unused]


@pytest.fixture(autouse=True)
async def epoch(api: RunningApi) -> str:
    return await register(api)


async def test_only_what_nothing_needs_is_named_each_time(api: RunningApi, deploy: Deploy) -> None:
    """Promise: what runs keeps its image, a failed deployment does not; its row says so from the answer on; to ask
    again gives the same answer, so that a krane that failed to delete tries again."""
    running, failed = await deploy(), await deploy(branch="b")
    await api.db.write(make_ready, running.deployment_id)
    await api.db.write(walk_to, failed.deployment_id, Status.DEPLOYING)
    for digit, made in (("a", running), ("b", failed)):
        image_ref = image(digit).image_ref
        await api.db.write(deployments.set_image, made.deployment_id, image_ref, REGION, now_ms())
    assert await unused(api, image("a"), image("b")) == []
    await api.db.write(walk_to, failed.deployment_id, Status.FAILED)
    for _ in range(2):
        assert await unused(api, image("a"), image("b"), image("c")) == ["b", "c"]
    rows = await api.db.read(lambda c: c.execute(select(table.c.id, table.c.image_ref)).all())
    assert {row.id: row.image_ref for row in rows} == {
        running.deployment_id: image("a").image_ref,
        failed.deployment_id: "",
    }


async def test_a_pulled_image_is_known_by_its_digest(api: RunningApi, deploy: Deploy) -> None:
    """Promise: what an engine has pulled stays while a deployment of that digest is needed; what also belongs to a
    registry that is not the installation's stays in any case."""
    digest = "registry.test/apps/p@sha256:" + "1" * 64
    made = await deploy()
    await api.db.write(make_ready, made.deployment_id)
    await api.db.write(deployments.set_image, made.deployment_id, digest, None, now_ms())
    needed, superfluous, elsewhere = image("a"), image("b", "sealift/p:b"), image("c")
    needed.digests.append(digest)
    elsewhere.digests.append("ghcr.io/someone/else@sha256:" + "2" * 64)
    assert await unused(api, needed, superfluous, elsewhere) == ["b"]


async def test_a_young_image_and_one_with_a_name_of_its_own_stay(api: RunningApi) -> None:
    """Promise: an image whose build is about to name it is never deleted, nor one with a foreign name."""
    assert await unused(
        api, image("a", age_ms=FRESH_MS // 2), image("b", "keep/this:1"), image("c", "sealift/p:b")
    ) == ["c"]


async def test_what_krane_lists_is_checked(api: RunningApi) -> None:
    """Promise: a list that is too long or no list of images is refused, and one of another region, too."""
    pulled = pb.StoredImage(image_ref="nginx:1.27", created_at=1)
    for images, field in (([pulled], "images[0].image_ref"), ([image("a")] * 1001, "images")):
        with pytest.raises(aio.AioRpcError) as error:
            await unused(api, *images)
        assert refused(error.value)[:3] == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_argument", field)
    with pytest.raises(aio.AioRpcError) as error:
        await api.krane.cluster.ReportImages(pb.ReportImagesRequest(region="elsewhere", images=[image("a")]))
    assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
    many = image("d", *(f"sealift/p:{n}" for n in range(101)))
    assert await unused(api, many) == [], "more names than are looked through: it stays"
