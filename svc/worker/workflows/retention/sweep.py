"""Runs cleanup tasks periodically."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from pkg import audit, idempotency
from pkg.access import KEPT_MS
from pkg.certificates import orders
from pkg.errors import SealiftError
from pkg.feed import queries as feed
from pkg.keys import queries as keys
from pkg.observability.logging import fields
from pkg.routes import moves
from pkg.telemetry.usage import USAGE_KEPT_MS
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.certificates.upkeep import ask_renewal_information, forget_answers
from svc.worker.workflows.retention.contexts import delete_expired
from svc.worker.workflows.retention.standby import catch_up

FIRST_AFTER_S = 10  # serving comes first; Restate knows the handlers by then
EVERY_S = 300
KEEP_CHANGES_MS = 24 * 3600 * 1000  # a krane that was away longer gets a snapshot
DAY_MS = 24 * 3600 * 1000

Task = Callable[[], Awaitable[object]]

log = logging.getLogger(__name__)


async def forget_old(deps: WorkerDeps) -> None:
    """Deletes rows and logs past their retention, which their domain states. Idempotent.

    Idempotency keys and changes of the feed stay for 24 hours, expired access keys for 30 days, the audit log for 180
    days, orders of certificates and hostnames of stopped branches for 30 days, build logs for the days of [telemetry]
    retention_days, lines of apps for those of [logs] retention_days, access figures by the minute for a day, by the
    hour for 30 days, usage by the day for 400 days, too.
    """
    now = deps.clock()
    await deps.db.write(idempotency.forget_old, now)
    await deps.db.write(keys.forget_expired, now)
    await deps.db.write(audit.forget_old, now)
    await deps.db.write(orders.forget_old, now)
    await deps.db.write(moves.forget_stopped_branches, now)
    await deps.db.write(lambda connection: feed.prune(connection, before=now - KEEP_CHANGES_MS))
    await deps.telemetry.builds.delete_before(now - deps.config.telemetry.retention_days * DAY_MS)
    await deps.telemetry.logs.delete_before(now - deps.config.logs.retention_days * DAY_MS)
    for step_s, kept_ms in KEPT_MS.items():
        await deps.telemetry.access.delete_before(step_s, now - kept_ms)
    for step_s, kept_ms in USAGE_KEPT_MS.items():
        await deps.telemetry.usage.delete_before(step_s, now - kept_ms)


TASKS: tuple[Callable[[WorkerDeps], Awaitable[None]], ...] = (
    catch_up,
    delete_expired,
    forget_old,
    forget_answers,
    ask_renewal_information,
)


def tasks_of(deps: WorkerDeps) -> Mapping[str, Task]:
    """What every worker cleans up, by name."""
    return {task.__name__: partial(task, deps) for task in TASKS}


async def sweep_forever(tasks: Mapping[str, Task]) -> None:
    """Sweeps soon after the start and then every EVERY_S, until cancelled."""
    await asyncio.sleep(FIRST_AFTER_S)
    while True:
        await sweep(tasks)
        await asyncio.sleep(EVERY_S)


async def sweep(tasks: Mapping[str, Task]) -> None:
    """Runs every task once. An error of one is logged, the others run, and the next sweep tries again."""
    for name, task in tasks.items():
        try:
            await task()
        except SealiftError as error:
            log.warning("%s failed: %s", name, error.message, extra=fields(error_code=error.code))
        except Exception:
            log.exception("%s failed", name)
