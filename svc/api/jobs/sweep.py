"""Ends jobs that their region has not ended in time, and forgets old ones."""

import logging

from sqlalchemy import Connection

from pkg.clock import Clock
from pkg.db import Database
from pkg.jobs import queries, rules
from pkg.observability.logging import fields

EVERY_S = 5.0
KEPT_MS = 90 * 24 * 3600 * 1000

log = logging.getLogger(__name__)


class JobSweep:
    """One task of the api, every `EVERY_S`."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._pruned_at = 0

    async def sweep(self) -> None:
        """One pass. Repeatable."""
        now = self._clock()
        if await self._db.read(_has_overdue, now):
            for job_id in await self._db.write(_end_overdue, now):
                log.warning("a job was ended without a word of its region", extra=fields(job_id=job_id))
        if now - self._pruned_at > 3600 * 1000:
            self._pruned_at = now
            await self._db.write(lambda connection: queries.prune(connection, before=now - KEPT_MS))


def _has_overdue(connection: Connection, now: int) -> bool:
    return any(rules.overdue(job, now) for job in queries.active(connection))


def _end_overdue(connection: Connection, now: int) -> list[str]:
    return [job.id for job in queries.active(connection) if queries.end_overdue(connection, job, now)]
