"""Deletes expired build contexts and abandoned uploads that no build in flight needs; the row before the object.

A request between the two is refused with "upload again". If a sweep is killed between them, a later one finds the
object, as it has no row.
"""

import logging
from collections.abc import Callable

from sqlalchemy import Connection

from pkg.builds import contexts, uploads
from pkg.observability.logging import fields
from pkg.projects import queries as projects
from svc.worker.deps import WorkerDeps

# A row is written before its object, so an object without a row is left over. Older than any upload under way.
LEFT_OVER_AFTER_MS = 3_600_000

log = logging.getLogger(__name__)


async def delete_expired(deps: WorkerDeps) -> None:
    """One pass. Idempotent."""
    now = deps.clock()
    deleted = await _delete_forgotten(deps, contexts.forget_expired, now)
    deleted += await _delete_forgotten(deps, uploads.forget_abandoned, now)
    # a bucket may hold what is not ours
    own = await deps.db.read(projects.ids)
    left_over, kept_bytes = await _delete_left_over(deps, contexts.FOLDER, own, contexts.paths, now)
    left_over_uploads, upload_bytes = await _delete_left_over(deps, uploads.FOLDER, own, uploads.paths, now)
    deps.metrics.keeps("contexts", kept_bytes + upload_bytes)
    if deleted := deleted + left_over + left_over_uploads:
        log.info("expired build contexts deleted", extra=fields(count=deleted))


async def _delete_forgotten(deps: WorkerDeps, forget: Callable[[Connection, int], list[str]], now: int) -> int:
    deleted = 0
    while forgotten := await deps.db.write(forget, now):
        for path in forgotten:
            deleted += await _delete(deps, path)
    return deleted


async def _delete_left_over(
    deps: WorkerDeps, folder: str, own: set[str], known_paths: Callable[[Connection], set[str]], now: int
) -> tuple[int, int]:
    """How many objects of these projects were deleted as they have no row, and the bytes of all others."""
    known, deleted, kept_bytes = await deps.db.read(known_paths), 0, 0
    for stored in await deps.store.list(folder):
        is_left_over = (
            stored.path not in known
            and stored.modified_at < now - LEFT_OVER_AFTER_MS
            and stored.path.split("/")[1] in own
        )
        if is_left_over and await _delete(deps, stored.path):
            deleted += 1
        else:
            kept_bytes += stored.size_bytes
    return deleted, kept_bytes


async def _delete(deps: WorkerDeps, path: str) -> bool:
    """Deletes the object unless it has a row: it was announced again in between."""

    def is_known(connection: Connection) -> bool:
        return contexts.get(connection, path) is not None

    if await deps.db.read(is_known):
        return False
    await deps.store.delete(path)
    return True
