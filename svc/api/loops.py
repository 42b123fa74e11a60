"""Periodic tasks."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

from pkg.errors import SealiftError

log = logging.getLogger(__name__)


async def every(interval_s: float, work: Callable[[], Awaitable[object]]) -> None:
    """Runs `work` every `interval_s`, without end. A failure is logged; the next run follows as usual."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            await work()
        except (SealiftError, SQLAlchemyError, OSError):
            log.exception("%s failed", getattr(work, "__qualname__", work))
