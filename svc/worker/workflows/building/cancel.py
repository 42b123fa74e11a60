"""A solve that a cancel ends: the step itself watches the database."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.db import Database

LOOK_EVERY_S = 5.0  # commits wake it at once; this is for a wake-up that was lost

T = TypeVar("T")


class CancelRequestedError(Exception):
    """The user, or a newer deploy, wants the build no more."""


async def until_cancelled(db: Database, build_id: str, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled, and awaited, once a cancel of the build is requested.

    Raises CancelRequestedError then; also when the row has ended.
    """
    working = asyncio.create_task(work, name=f"build-{build_id}")
    watching = asyncio.create_task(_cancel_requested(db, build_id), name=f"build-cancel-{build_id}")
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        watching.result()
        raise CancelRequestedError(build_id)
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _cancel_requested(db: Database, build_id: str) -> None:
    def read(connection: Connection) -> bool:
        found = builds.get(connection, build_id)
        return found is None or found.status.is_terminal or found.cancel_requested_at is not None

    while True:
        position = db.commits.position
        if await db.read(read):
            return
        await db.commits.wait(position, LOOK_EVERY_S)
