"""Giving routes back."""

import msgspec
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState
from pkg.environments import queries as environments
from pkg.operations import queries as operations
from pkg.routes import moves
from pkg.routes import queries as routes
from pkg.routes.rules import ENVIRONMENT_WIDE
from svc.worker.parts import Parts


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """See UndoReply."""

    version: int
    hostnames: list[str]
    removed: list[str]


async def undo_routes(parts: Parts, deployment_id: str, operation_id: str, was_rolled_back: bool) -> Done:
    """One transaction: what the intent took and still holds goes back to who can answer now. Idempotent.

    Who gets an environment-wide route back is running again; a promote's or rollback's own target goes back to standby,
    and the environment's mark to `was_rolled_back`.
    """

    def write(connection: Connection) -> Done:
        now = parts.clock()
        deployment = deployments.get(connection, deployment_id)
        operation = operations.get(connection, operation_id) if operation_id else None
        if deployment is None or (operation_id and operation is None):
            return Done(version=0, hostnames=[], removed=[])
        seq = deployment.seq if operation is None else operation.seq
        done = moves.undo(connection, deployment_id=deployment_id, seq=seq, now=now)
        given_back = [row for row in (routes.get(connection, hostname) for hostname in done.hostnames) if row]
        for route in given_back:
            deployments.set_run_state(connection, route.deployment_id, RunState.RUNNING, now)
        if operation is not None and any(route.sticky in ENVIRONMENT_WIDE for route in given_back):
            environments.set_rolled_back(connection, deployment.environment_id, was_rolled_back, now)
        if operation is not None and not routes.sticky_hostnames(connection, deployment_id):
            deployments.set_run_state(connection, deployment_id, RunState.STANDBY, now)
        return Done(version=done.version, hostnames=list(done.hostnames), removed=list(done.removed))

    return await parts.db.write(write)
