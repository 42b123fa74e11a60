"""Ends standbys: overdue ones whose delayed call was lost, and early ones when a region has run out of something."""

import asyncio
import logging

from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import RunState
from pkg.observability.logging import fields
from pkg.regions.shortage import Shortage, shortages, standbys_to_evict
from pkg.routes import queries as routes
from pkg.workflows.objects import ROUTING_CONFIRM_STOPPED, ROUTING_RETIRE
from sealift.workflow.v1.workflow_pb2 import RetireRequest, SettleRequest
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.standby import retire_request, ttl_s

LATE_MS = 60_000  # the delayed call should have come by then
ROOM_EVERY_S = 1.0
AGAIN_AFTER_MS = 30_000  # `Routing.retire` itself checks again while a switch may come back to the standby

log = logging.getLogger(__name__)


async def catch_up(deps: WorkerDeps) -> None:
    """Sends overdue calls again: retirements, and checks whether a stopping deployment has stopped. Idempotent."""
    for deployment, request in await deps.db.read(_overdue, deps):
        await deps.restate.send(ROUTING_RETIRE, deployment.environment_id, request)
    for deployment in await deps.db.read(
        lambda connection: deployments.stopping(connection, before=deps.clock() - LATE_MS)
    ):
        await deps.restate.send(
            ROUTING_CONFIRM_STOPPED, deployment.environment_id, SettleRequest(deployment_id=deployment.id)
        )


def _overdue(connection: Connection, deps: WorkerDeps) -> list[tuple[Deployment, RetireRequest]]:
    now = deps.clock()
    found = []
    for state in (RunState.STANDBY, RunState.RUNNING, RunState.STARTING):  # the last: by a switch that was lost
        on_standby = state is RunState.STANDBY
        before = now - ttl_s(deps.config.deploy, on_standby=on_standby) * 1000 - LATE_MS
        for deployment in deployments.in_run_state(connection, [state], before=before):
            if routes.sticky_hostnames(connection, deployment.id):
                continue
            found.append((deployment, retire_request(deployment.id, deployment.run_state_at, on_standby=on_standby)))
    return found


async def make_room_forever(deps: WorkerDeps) -> None:
    """Makes room every second until cancelled; an error is logged, and the next pass tries again."""
    requested: dict[tuple[str, int], int] = {}
    while True:
        try:
            await make_room(deps, requested)
        except Exception:
            log.exception("making room failed; trying again")
        await asyncio.sleep(ROOM_EVERY_S)


async def make_room(deps: WorkerDeps, requested: dict[tuple[str, int], int]) -> None:
    """One pass. `requested`: when the end of a standby was requested, epoch ms, by id and run state. Idempotent."""
    now = deps.clock()
    found: list[Shortage] = await deps.db.read(shortages, now)
    for key in [key for key, at in requested.items() if now - at >= AGAIN_AFTER_MS]:
        del requested[key]
    for shortage in found:
        for standby in standbys_to_evict(shortage):
            key = (standby.deployment_id, standby.run_state_at)
            if key in requested:
                continue
            requested[key] = now
            extra = fields(region=shortage.region, deployment_id=standby.deployment_id)
            log.info("a standby ends early: the region has run out of room", extra=extra)
            request = retire_request(standby.deployment_id, standby.run_state_at, on_standby=True)
            await deps.restate.send(ROUTING_RETIRE, standby.environment_id, request)
