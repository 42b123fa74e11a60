"""Forgets what is old, so that tables and disk stay bounded."""

import asyncio
import logging

from sqlalchemy import Connection, delete, select
from sqlalchemy.exc import SQLAlchemyError

from pkg import idempotency
from pkg.builds.status import IN_FLIGHT
from pkg.clock import Clock
from pkg.db import Database
from pkg.db.tables import builds, contexts
from pkg.errors import SealiftError
from pkg.keys import queries as keys
from pkg.observability.logging import fields
from pkg.storage import ObjectStore

EVERY_S = 3600.0
_CONTEXTS_AT_ONCE = 500

log = logging.getLogger(__name__)


class Janitor:
    """One task of the api: every hour."""

    def __init__(self, db: Database, store: ObjectStore, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        """Cleans for ever."""
        while True:
            try:
                await self.clean()
            except (SealiftError, SQLAlchemyError, OSError):
                log.exception("cleaning failed: again in an hour")
            await asyncio.sleep(EVERY_S)

    async def clean(self) -> None:
        """One pass: expired build contexts, old idempotency keys, revoked access keys."""
        now = self._clock()
        await self._db.write(idempotency.forget_old, now)
        await self._db.write(keys.forget_revoked, now)
        while paths := await self._db.write(_expired, now):
            for path in paths:
                # the row went first: whoever asks meanwhile is told to upload again
                await self._store.delete(path)
            log.info("deleted expired build contexts", extra=fields(count=len(paths)))


def _expired(connection: Connection, now: int) -> list[str]:
    """Takes expired contexts that no build needs out of the table; their paths."""
    needed = select(builds.c.build_context_path).where(builds.c.status.in_(IN_FLIGHT))
    expired = (
        select(contexts.c.path)
        .where(contexts.c.expires_at < now, contexts.c.path.not_in(needed))
        .limit(_CONTEXTS_AT_ONCE)
    )
    paths = [str(row.path) for row in connection.execute(expired)]
    if paths:
        connection.execute(delete(contexts).where(contexts.c.path.in_(paths)))
    return paths
