"""The rhythm: everything that cleans, every few minutes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pkg.errors import SealiftError
from pkg.observability.logging import fields
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.retention.contexts import delete_expired
from svc.worker.workflows.retention.images import delete_unneeded
from svc.worker.workflows.retention.late import catch_up
from svc.worker.workflows.retention.records import forget_old

FIRST_AFTER_S = 10  # the start is for serving; Restate knows the handlers by then
EVERY_S = 300

CLEANERS: tuple[Callable[[WorkerDeps], Awaitable[None]], ...] = (catch_up, delete_expired, forget_old, delete_unneeded)

log = logging.getLogger(__name__)


async def sweep_forever(deps: WorkerDeps) -> None:
    """Sweeps soon after the start and then every few minutes."""
    await asyncio.sleep(FIRST_AFTER_S)
    while True:
        await sweep(deps)
        await asyncio.sleep(EVERY_S)


async def sweep(deps: WorkerDeps) -> None:
    """One sweep. An error of one cleaner is logged, the others clean on, and the next sweep tries again."""
    for clean in CLEANERS:
        try:
            await clean(deps)
        except SealiftError as error:
            log.warning("%s failed: %s", clean.__name__, error.message, extra=fields(error_code=error.code))
        except Exception:
            log.exception("%s failed", clean.__name__)
