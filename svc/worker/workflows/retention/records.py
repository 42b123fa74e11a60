"""Rows and logs whose time is over."""

from pkg import audit, idempotency
from pkg.feed import queries as desired
from pkg.keys import queries as keys
from svc.worker.deps import WorkerDeps

KEEP_CHANGES_MS = 24 * 3600 * 1000  # a krane that was away longer gets a snapshot
KEEP_LOGS_MS = 30 * 24 * 3600 * 1000


async def forget_old(deps: WorkerDeps) -> None:
    """Deletes what is over its time: each row after 24 hours, 30 or 180 days, as its domain says. Idempotent.

    Idempotency keys and changes of the feed stay for 24 hours, expired access keys and build logs for 30 days, the
    audit log for 180 days.
    """
    now = deps.clock()
    await deps.db.write(idempotency.forget_old, now)
    await deps.db.write(keys.forget_expired, now)
    await deps.db.write(audit.forget_old, now)
    await deps.db.write(lambda connection: desired.prune(connection, before=now - KEEP_CHANGES_MS))
    await deps.telemetry.delete_before(now - KEEP_LOGS_MS)
