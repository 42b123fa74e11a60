"""Noticing that a stopping deployment has stopped."""

import msgspec
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState
from pkg.regions import queries as regions
from svc.worker.deps import WorkerDeps

GIVE_UP_AFTER_MS = 10 * 60 * 1000  # a region that stays away: the periodic sweep settles it once it is back


class Done(msgspec.Struct, frozen=True):
    """Whether to look again soon."""

    look_again: bool


async def settle_deployment(deps: WorkerDeps, deployment_id: str) -> Done:
    """Marks it stopped if no region reports an instance of it. Does nothing unless it is stopping. Idempotent."""

    def write(connection: Connection) -> Done:
        now = deps.clock()
        found = deployments.get(connection, deployment_id)
        if found is None or found.run_state is not RunState.STOPPING:
            return Done(look_again=False)
        if regions.any_alive(connection, deployment_id):
            return Done(look_again=now - found.run_state_at < GIVE_UP_AFTER_MS)
        deployments.set_run_state(connection, deployment_id, RunState.STOPPED, now)
        return Done(look_again=False)

    return await deps.db.write(write)
