"""Deletes images of builds, built on the region's runtime or pulled to it, that nothing needs any more.

The api decides which (`pkg.retention`), since it alone knows what may still be rolled back to; krane lists and deletes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import grpc.aio

from pkg.errors import SealiftError
from pkg.images import StoredImage
from pkg.observability.logging import fields
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.metrics import KraneMetrics

log = logging.getLogger(__name__)

FIRST_AFTER_S = 10.0  # the start is for serving
EVERY_S = 300.0
MAX_IMAGES = 1000  # of one request, as cluster.proto says

Report = Callable[[pb.ReportImagesRequest], Awaitable[pb.ReportImagesResponse]]


class ImageSource(Protocol):
    """What of a runtime the cleanup needs."""

    async def list_images(self) -> Sequence[StoredImage]:
        """See `Runtime.list_images`."""
        ...

    async def delete_image(self, image: StoredImage) -> bool:
        """See `Runtime.delete_image`."""
        ...


class ImageCleanup:
    """Cleans up the images of one region. Each pass lists them afresh, so a pass that fails loses nothing."""

    def __init__(self, region: str, runtime: ImageSource, report: Report, metrics: KraneMetrics) -> None:
        self._region = region
        self._runtime = runtime
        self._report = report
        self._metrics = metrics

    async def run(self, engine_found: asyncio.Event, first_after_s: float = FIRST_AFTER_S) -> None:
        """Cleans soon after the runtime was found and then every few minutes, until cancelled."""
        await engine_found.wait()
        await asyncio.sleep(first_after_s)
        while True:
            try:
                await self.clean()
            except SealiftError as error:
                log.warning("images were not cleaned up; trying again later", extra=fields(error=error.message))
            except grpc.aio.AioRpcError as error:
                extra = fields(grpc_status=error.code().name, error=error.details())
                log.warning("the api did not say which images are unused; trying again later", extra=extra)
            await asyncio.sleep(EVERY_S)

    async def clean(self) -> None:
        """One pass. Idempotent: what could not be deleted is tried again by the next.

        Raises Unavailable when the runtime does not answer, grpc.aio.AioRpcError when the api does not.
        """
        images = await self._runtime.list_images()
        kept_bytes = sum(image.size_bytes for image in images)
        for start in range(0, len(images), MAX_IMAGES):
            some = {str(image.image_ref): image for image in images[start : start + MAX_IMAGES]}
            answer = await self._report(
                pb.ReportImagesRequest(region=self._region, images=[_as_message(image) for image in some.values()])
            )
            for image in (some[image_ref] for image_ref in answer.unused if image_ref in some):
                extra = fields(image_ref=str(image.image_ref), size_bytes=image.size_bytes)
                if await self._runtime.delete_image(image):
                    kept_bytes -= image.size_bytes
                    log.info("image deleted", extra=extra)
                else:
                    log.info("image not deleted: built again or used by a container", extra=extra)
        self._metrics.metrics.keeps("images", kept_bytes)


def _as_message(image: StoredImage) -> pb.StoredImage:
    return pb.StoredImage(
        image_ref=str(image.image_ref), names=image.names, created_at=image.created_at, digests=image.digests
    )
