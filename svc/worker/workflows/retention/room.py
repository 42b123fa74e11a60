"""Making room: standbys end early, the oldest first, when a region has run out of what an instance needs."""

import asyncio
import logging

from pkg.observability.logging import fields
from pkg.regions.shortage import Shortage, shortages, victims
from pkg.workflows.objects import ROUTING_RETIRE
from sealift.workflow.v1.workflow_pb2 import RetireRequest
from svc.worker.deps import WorkerDeps

EVERY_S = 1.0
AGAIN_AFTER_MS = 30_000  # `Routing.retire` looks again by itself while a switch may come back to the standby

log = logging.getLogger(__name__)


async def make_room_forever(deps: WorkerDeps) -> None:
    """Looks every second until cancelled; an error is logged and the next look tries again."""
    asked: dict[tuple[str, int], int] = {}
    while True:
        try:
            await make_room(deps, asked)
        except Exception:
            log.exception("no room could be made; trying again")
        await asyncio.sleep(EVERY_S)


async def make_room(deps: WorkerDeps, asked: dict[tuple[str, int], int]) -> None:
    """One look. `asked`: standbys that were told to end -> when, epoch ms. Idempotent."""
    now = deps.clock()
    found: list[Shortage] = await deps.db.read(shortages, now)
    for key in [key for key, at in asked.items() if now - at >= AGAIN_AFTER_MS]:
        del asked[key]
    for shortage in found:
        for standby in victims(shortage):
            key = (standby.deployment_id, standby.run_state_at)
            if key in asked:
                continue
            asked[key] = now
            extra = fields(region=shortage.region, deployment_id=standby.deployment_id)
            log.info("a standby ends early: the region has run out of room", extra=extra)
            request = RetireRequest(
                deployment_id=standby.deployment_id, only_standby=True, run_state_at=standby.run_state_at
            )
            await deps.restate.send(ROUTING_RETIRE, standby.environment_id, request)
