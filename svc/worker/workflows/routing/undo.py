"""Giving routes back."""

import msgspec
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState
from pkg.environments import queries as environments
from pkg.operations import queries as operations
from pkg.routes import moves
from pkg.routes import queries as routes
from svc.worker.deps import WorkerDeps


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """See UndoReply."""

    version: int
    hostnames: list[str]
    removed: list[str]


async def undo_routes(deps: WorkerDeps, deployment_id: str, operation_id: str) -> Done:
    """One transaction: what the intent took and still holds goes back to who can answer now. Idempotent.

    Who gets a route back is running again; a promote's or rollback's own target goes back to standby unless an earlier
    intent holds routes for it. The environment is rolled back if what is live now was made so by a rollback.
    """

    def write(connection: Connection) -> Done:
        now = deps.clock()
        deployment = deployments.get(connection, deployment_id)
        operation = operations.get(connection, operation_id) if operation_id else None
        if deployment is None or (operation_id and operation is None):
            return Done(version=0, hostnames=[], removed=[])
        seq = deployment.seq if operation is None else operation.seq
        done = moves.undo(connection, deployment_id=deployment_id, seq=seq, now=now)
        for route in filter(None, (routes.get(connection, hostname) for hostname in done.hostnames)):
            deployments.set_run_state(connection, route.deployment_id, RunState.RUNNING, now)
        if done.version:
            environment_id = deployment.environment_id
            is_rolled_back = moves.is_live_by_rollback(connection, environment_id)
            environments.set_rolled_back(connection, environment_id, is_rolled_back, now)
        if operation is not None and not routes.sticky_hostnames(connection, deployment_id):
            deployments.set_run_state(connection, deployment_id, RunState.STANDBY, now)
        return Done(version=done.version, hostnames=list(done.hostnames), removed=list(done.removed))

    return await deps.db.write(write)
