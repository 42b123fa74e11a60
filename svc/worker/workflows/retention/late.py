"""The safety net under delayed messages: what one that was lost, or a region that was away, has left behind."""

from sqlalchemy import Connection, select

from pkg.db import rows
from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import RunState
from pkg.deployments.tables import deployments as table
from pkg.routes import queries as routes
from pkg.workflows.objects import ROUTING_CONFIRM_STOPPED, ROUTING_RETIRE
from sealift.workflow.v1.workflow_pb2 import RetireRequest, SettleRequest
from svc.worker.deps import WorkerDeps

LATE_MS = 60_000  # what the delayed message should have done by then


async def catch_up(deps: WorkerDeps) -> None:
    """Sends again what is overdue: retirements, and looks whether a stopping deployment has stopped. Idempotent."""
    for deployment, request in await deps.db.read(_overdue, deps):
        await deps.restate.send(ROUTING_RETIRE, deployment.environment_id, request)
    for deployment in await deps.db.read(_stopping, deps.clock()):
        await deps.restate.send(
            ROUTING_CONFIRM_STOPPED, deployment.environment_id, SettleRequest(deployment_id=deployment.id)
        )


def _overdue(connection: Connection, deps: WorkerDeps) -> list[tuple[Deployment, RetireRequest]]:
    now, limits = deps.clock(), deps.config.deploy
    found = []
    ttls = (
        (RunState.STANDBY, limits.standby_ttl_s),
        (RunState.RUNNING, limits.unrouted_ttl_s),
        (RunState.STARTING, limits.unrouted_ttl_s),  # woken by a switch that was lost
    )
    for state, ttl_s in ttls:
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
