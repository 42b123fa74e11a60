"""Deletes images that nothing needs any more; first from their rows. The rules: pkg/retention/rules.py.

Only images that carry the label of this installation are considered.
"""

import logging

from pkg.installation import queries as installation
from pkg.observability.logging import fields
from pkg.retention.queries import take_unneeded
from svc.worker.deps import WorkerDeps

log = logging.getLogger(__name__)


async def delete_unneeded(deps: WorkerDeps) -> None:
    """One pass. Idempotent: what could not be deleted is tried again by the next.

    Raises BuilderUnavailable when the engine does not answer.
    """
    this = await deps.db.read(installation.get)
    if this is None:
        return
    images = await deps.images.list_images(this.installation_id)
    doomed = await deps.db.write(
        lambda connection: take_unneeded(
            connection,
            images,
            per_environment=deps.config.retention.images_per_environment,
            now=deps.clock(),
        )
    )
    kept_bytes = sum(image.size_bytes for image in images)
    for image in doomed:
        if await deps.images.delete_image(image):
            kept_bytes -= image.size_bytes
            log.info("image deleted", extra=fields(image_ref=str(image.image_ref), size_bytes=image.size_bytes))
        else:
            log.info(
                "image not deleted: built again or used by a container", extra=fields(image_ref=str(image.image_ref))
            )
    deps.metrics.keeps("images", kept_bytes)
