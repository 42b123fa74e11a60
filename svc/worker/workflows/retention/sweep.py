"""A periodic look for what a lost message, or a region that was away, has left behind. Every part is idempotent."""

import asyncio
import logging

from sqlalchemy import Connection, select

from pkg.builds import contexts
from pkg.db import rows
from pkg.db.tables import deployments as table
from pkg.deployments import queries as deployments
from pkg.deployments.queries import Deployment
from pkg.deployments.status import RunState
from pkg.desired import queries as desired
from pkg.errors import SealiftError
from pkg.observability.logging import fields
from pkg.routes import queries as routes
from sealift.workflow.v1.workflow_pb2 import RetireRequest, SettleRequest
from svc.worker.parts import Parts

EVERY_S = 300
LATE_MS = 60_000  # what the delayed message should have done by then
KEEP_CHANGES_MS = 24 * 3600 * 1000  # a krane that was away longer gets a snapshot
KEEP_LOGS_MS = 30 * 24 * 3600 * 1000

log = logging.getLogger(__name__)


async def sweep_forever(parts: Parts) -> None:
    """Sweeps every few minutes; an error of one sweep is logged and the next one tries again."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await sweep(parts)
        except SealiftError as error:
            log.warning("sweep failed: %s", error.message, extra=fields(code=error.code))
        except Exception:
            log.exception("sweep failed")


async def sweep(parts: Parts) -> None:
    """One sweep: overdue retirements, stopping deployments that have stopped, old archives and records."""
    for deployment, request in await parts.db.read(_overdue, parts):
        await parts.restate.send("Routing", "retire", deployment.environment_id, request)
    for deployment in await parts.db.read(_stopping, parts.clock()):
        await parts.restate.send(
            "Routing", "settle", deployment.environment_id, SettleRequest(deployment_id=deployment.id)
        )
    now = parts.clock()
    for path in await parts.db.write(contexts.forget_expired, now):
        await parts.store.delete(path)
    await parts.db.write(lambda connection: desired.prune(connection, before=now - KEEP_CHANGES_MS))
    await parts.telemetry.delete_before(now - KEEP_LOGS_MS)


def _overdue(connection: Connection, parts: Parts) -> list[tuple[Deployment, RetireRequest]]:
    now, limits = parts.clock(), parts.config.deploy
    found = []
    for state, ttl_s in ((RunState.STANDBY, limits.standby_ttl_s), (RunState.RUNNING, limits.unrouted_ttl_s)):
        before = now - ttl_s * 1000 - LATE_MS
        for deployment in deployments.in_run_state(connection, [state], before=before):
            if routes.sticky_hostnames(connection, deployment.id):
                continue
            request = RetireRequest(
                deployment_id=deployment.id,
                only_standby=state is RunState.STANDBY,
                run_state_at=deployment.run_state_at,
            )
            found.append((deployment, request))
    return found


def _stopping(connection: Connection, now: int) -> list[Deployment]:
    query = select(table).where(table.c.run_state == RunState.STOPPING, table.c.run_state_at < now - LATE_MS)
    return rows.every(Deployment, connection.execute(query))
