"""Deletes expired build contexts that no build in flight needs; the row before the archive.

A request between the two is refused with "upload again". If a sweep is killed between them, a later one finds the
archive, as it has no row.
"""

import logging

from sqlalchemy import Connection

from pkg.builds import contexts
from pkg.observability.logging import fields
from svc.worker.deps import WorkerDeps

FOLDER = "contexts"
# A row is written before its archive, so an archive without a row is left over. Older than any upload under way.
LEFT_OVER_AFTER_MS = 3_600_000

log = logging.getLogger(__name__)


async def delete_expired(deps: WorkerDeps) -> None:
    """One pass. Idempotent."""
    now, deleted = deps.clock(), 0
    while paths := await deps.db.write(contexts.forget_expired, now):
        for path in paths:
            deleted += await _delete(deps, path)
    known, kept_bytes = await deps.db.read(contexts.paths), 0
    for stored in await deps.store.list(FOLDER):
        is_left_over = stored.path not in known and stored.modified_at < now - LEFT_OVER_AFTER_MS
        if is_left_over and await _delete(deps, stored.path):
            deleted += 1
        else:
            kept_bytes += stored.size_bytes
    deps.metrics.keeps("contexts", kept_bytes)
    if deleted:
        log.info("expired build contexts deleted", extra=fields(count=deleted))


async def _delete(deps: WorkerDeps, path: str) -> bool:
    """Deletes the archive unless it has a row: it was announced again in between."""

    def is_known(connection: Connection) -> bool:
        return contexts.get(connection, path) is not None

    if await deps.db.read(is_known):
        return False
    await deps.store.delete(path)
    return True
