"""krane deletes the images that the api calls unused, on a real engine."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc.aio
import pytest

from pkg.builders.docker.testing import EngineImages, engine_images
from pkg.builders.testing import engine_socket
from pkg.docker.images import DockerImages
from pkg.errors import Unavailable
from pkg.images import ImageRef, StoredImage
from pkg.observability.metrics import Metrics
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller import images
from svc.krane.controller.images import MAX_IMAGES, ImageCleanup
from svc.krane.metrics import KraneMetrics


@dataclass
class Engine:
    """The images of one installation, as a runtime lists them; `away` times it does not answer."""

    ours: EngineImages
    away: int = 0

    async def list_images(self) -> list[StoredImage]:
        """See `Runtime`."""
        if self.away:
            self.away -= 1
            raise Unavailable("engine.unavailable", "it is away")
        return await DockerImages(engine_socket()).list_images(self.ours.installation_id)

    async def delete_image(self, image: StoredImage) -> bool:
        """See `Runtime`."""
        return await DockerImages(engine_socket()).delete_image(image)


@dataclass
class Api:
    """Names these images unused; `away` times it does not answer."""

    unused: set[str] = field(default_factory=set)
    away: int = 0
    asked: list[pb.ReportImagesRequest] = field(default_factory=list)

    async def report(self, request: pb.ReportImagesRequest) -> pb.ReportImagesResponse:
        """See `ClusterApi.report_images`."""
        if self.away:
            self.away -= 1
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="it is away"
            )
        self.asked.append(request)
        return pb.ReportImagesResponse(unused=sorted(self.unused))


@pytest.fixture
async def ours() -> AsyncIterator[EngineImages]:
    async with engine_images() as made:
        yield made


@pytest.fixture
def metrics() -> KraneMetrics:
    return KraneMetrics(Metrics("krane", "inst_1"), "local")


def kept_bytes(metrics: KraneMetrics) -> float:
    kept = metrics.metrics.registry.get_sample_value("sealift_kept_bytes", {"kind": "images"})
    assert kept is not None
    return kept


async def test_the_unused_go_and_all_others_stay(ours: EngineImages, metrics: KraneMetrics) -> None:
    """Promise: exactly what the api names is deleted; what it names by mistake, or a container needs, is not."""
    unused, needed, contained = await ours.add(), await ours.add(), await ours.add()
    await ours.contain(contained)
    async with engine_images() as others:
        theirs = await others.add()
        api = Api({str(unused), str(contained), str(theirs)})
        await ImageCleanup("local", Engine(ours), api.report, metrics).clean()
        assert await others.has(theirs)
    assert [await ours.has(one) for one in (unused, needed, contained)] == [False, True, True]
    assert {one.image_ref for one in api.asked[0].images} == {str(one) for one in (unused, needed, contained)}
    assert 0 < kept_bytes(metrics) < 1 << 20


async def test_what_failed_is_done_by_a_later_pass(
    ours: EngineImages, metrics: KraneMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: an engine or an api that is away for a while costs nothing but time, and krane continues."""
    monkeypatch.setattr(images, "EVERY_S", 0.01)
    unused = await ours.add()
    engine, api, found = Engine(ours, away=2), Api({str(unused)}, away=2), asyncio.Event()
    running = asyncio.create_task(ImageCleanup("local", engine, api.report, metrics).run(found, first_after_s=0))
    try:
        found.set()
        async with asyncio.timeout(WAIT_S):
            while await ours.has(unused):  # noqa: ASYNC110 - the engine notifies nobody
                await asyncio.sleep(0.02)
        assert not running.done()
    finally:
        running.cancel()
    assert (engine.away, api.away) == (0, 0)


async def test_a_long_list_is_told_in_parts(metrics: KraneMetrics) -> None:
    """Promise: no engine has too many images to be cleaned."""
    listed = [StoredImage(ImageRef.on_engine(f"sha256:{n:064x}"), (), 1, 10) for n in range(2 * MAX_IMAGES + 1)]
    deleted: list[StoredImage] = []

    class Many:
        async def list_images(self) -> list[StoredImage]:
            return listed

        async def delete_image(self, image: StoredImage) -> bool:
            deleted.append(image)
            return True

    api = Api({str(listed[0].image_ref), str(listed[-1].image_ref)})
    await ImageCleanup("local", Many(), api.report, metrics).clean()
    assert [len(request.images) for request in api.asked] == [MAX_IMAGES, MAX_IMAGES, 1]
    assert deleted == [listed[0], listed[-1]]
    assert kept_bytes(metrics) == 10 * (len(listed) - 2)
