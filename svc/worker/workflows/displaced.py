"""What becomes of deployments that lost their shared hostnames: standby for a while, then they stop."""

import msgspec
from sqlalchemy import Connection, select

from pkg.db import rows
from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import WARM, RunState, Status
from pkg.deployments.tables import deployments as table
from pkg.routes import queries as routes
from pkg.workflows.objects import ROUTING_RETIRE
from sealift.workflow.v1.workflow_pb2 import RetireRequest
from svc.worker.journal import Journal


class Unrouted(msgspec.Struct, frozen=True, kw_only=True):
    """A warm deployment that no shared hostname points at."""

    deployment_id: str
    run_state_at: int
    on_standby: bool


def unrouted(connection: Connection, environment_id: str, *, ready_id: str, since: int, now: int) -> list[Unrouted]:
    """Puts the environment's other running deployments without a shared hostname on standby; lists those to retire.

    Listed is what came to be so by this call, or by one of the same intent before it: whose run state has changed since
    the time `since`, the intent's own. Who was on standby before has its message under way; were it sent again with
    each deploy, Restate would hold one for every pair of warm deployments.

    `ready_id` has just become ready, or was switched to: it stays running even if it has none. Idempotent.
    """
    query = select(table).where(
        table.c.environment_id == environment_id, table.c.status == Status.READY, table.c.run_state.in_(WARM)
    )
    found = []
    for deployment in rows.every(Deployment, connection.execute(query)):
        if routes.sticky_hostnames(connection, deployment.id):
            continue
        is_new = deployment.id == ready_id
        if not is_new:
            is_new = deployments.set_run_state(connection, deployment.id, RunState.STANDBY, now)
        if not is_new and deployment.run_state_at < since:
            continue
        now_is = deployments.get(connection, deployment.id)
        assert now_is is not None
        found.append(
            Unrouted(
                deployment_id=now_is.id,
                run_state_at=now_is.run_state_at,
                on_standby=now_is.run_state is RunState.STANDBY,
            )
        )
    return found


def retire_later(journal: Journal, environment_id: str, found: list[Unrouted], now: int) -> None:
    """Has `Routing.retire` stop each when its time is over, unless it is routed or moved again by then."""
    limits = journal.deps.config.deploy
    for one in found:
        ttl_s = limits.standby_ttl_s if one.on_standby else limits.unrouted_ttl_s
        request = RetireRequest(
            deployment_id=one.deployment_id, only_standby=one.on_standby, run_state_at=one.run_state_at
        )
        due = one.run_state_at + ttl_s * 1000
        journal.send(ROUTING_RETIRE, environment_id, request, delay_ms=max(0, due - now))
