"""Rows and logs whose time is over."""

from pkg import idempotency
from pkg.feed import queries as desired
from pkg.keys import queries as keys
from svc.worker.deps import WorkerDeps

KEEP_CHANGES_MS = 24 * 3600 * 1000  # a krane that was away longer gets a snapshot
KEEP_LOGS_MS = 30 * 24 * 3600 * 1000


async def forget_old(deps: WorkerDeps) -> None:
    """Idempotency keys (24 h), expired access keys (30 days), changes of the feed (24 h), build logs (30 days).

    Idempotent.
    """
    now = deps.clock()
    await deps.db.write(idempotency.forget_old, now)
    await deps.db.write(keys.forget_expired, now)
    await deps.db.write(lambda connection: desired.prune(connection, before=now - KEEP_CHANGES_MS))
    await deps.telemetry.delete_before(now - KEEP_LOGS_MS)
