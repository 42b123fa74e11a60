"""Stopping deployments that nothing needs any more, and noticing that they have stopped."""

import msgspec
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import RunState, Status
from pkg.environments import queries as environments
from pkg.operations import queries as operations
from pkg.operations.model import Operation, OperationKind
from pkg.regions import queries as regions
from pkg.routes import moves
from pkg.routes import queries as routes
from svc.worker.deps import WorkerDeps

GIVE_UP_AFTER_MS = 10 * 60 * 1000  # for a region that stays away; the periodic sweep confirms the stop once it is back


class Retirement(msgspec.Struct, frozen=True):
    """`stopped`: it stops now. `look_again`: a deploy or switch of the environment may still come back to it."""

    stopped: bool
    look_again: bool = False


async def retire_deployment(
    deps: WorkerDeps, deployment_id: str, only_standby: bool, run_state_at: int, operation_id: str
) -> Retirement:
    """One transaction: checks again whether it is needed, removes its hostnames, then stops it. Idempotent.

    `run_state_at` 0: whenever its run state changed; otherwise nothing happens unless it has been so since then.
    `operation_id` "": only what no shared hostname points at; otherwise what that stop of a user may end.
    """

    def write(connection: Connection) -> Retirement:
        found = deployments.get(connection, deployment_id)
        stop = operations.get(connection, operation_id) if operation_id else None
        if found is not None and stop is not None and found.run_state in (RunState.STOPPING, RunState.STOPPED):
            return Retirement(stopped=True)  # by this step before, or by an earlier stop
        if found is None or not _may_stop(connection, found, only_standby, run_state_at, stop):
            return Retirement(stopped=False)
        if may_be_needed(connection, found):
            return Retirement(stopped=False, look_again=True)
        now = deps.clock()
        if stop is None:
            moves.drop_own(connection, deployment_id, now)
        else:
            _release(connection, found, stop, now)
        regions.stop(connection, deployment_id, now)
        deployments.set_run_state(connection, deployment_id, RunState.STOPPING, now)
        return Retirement(stopped=True)

    return await deps.db.write(write)


def _release(connection: Connection, found: Deployment, stop: Operation, now: int) -> None:
    if routes.live_hostnames(
        connection, found.id
    ):  # the environment is no longer rolled back: the next deploy becomes live
        environments.set_rolled_back(connection, found.environment_id, False, now)
    moves.release(connection, found.id, seq=stop.seq, now=now)


def _may_stop(
    connection: Connection, found: Deployment, only_standby: bool, run_state_at: int, stop: Operation | None
) -> bool:
    if found.status is not Status.READY or not (found.run_state.is_warm or found.run_state is RunState.STARTING):
        return False
    if only_standby and found.run_state is not RunState.STANDBY:
        return False
    if run_state_at and found.run_state_at != run_state_at:
        return False
    if stop is None:
        return not routes.sticky_hostnames(connection, found.id)
    return stop.kind is OperationKind.TAKE_DOWN or not routes.live_hostnames(connection, found.id)


def may_be_needed(connection: Connection, found: Deployment) -> bool:
    """A promote or rollback in flight may switch to it, or a deploy that takes routes may have to give them back."""
    switching = any(
        operation.environment_id == found.environment_id and operation.kind.moves_routes
        for operation in operations.in_flight(connection)
    )
    return switching or any(
        deployment.environment_id == found.environment_id and deployment.status is Status.NETWORK
        for deployment in deployments.in_flight(connection)
    )


class StopCheck(msgspec.Struct, frozen=True):
    """`look_again`: an instance may be left."""

    look_again: bool


async def confirm_stopped(deps: WorkerDeps, deployment_id: str) -> StopCheck:
    """Marks it stopped if no region reports an instance of it. Does nothing unless it is stopping. Idempotent."""

    def write(connection: Connection) -> StopCheck:
        now = deps.clock()
        found = deployments.get(connection, deployment_id)
        if found is None or found.run_state is not RunState.STOPPING:
            return StopCheck(look_again=False)
        if regions.any_alive(connection, deployment_id):
            return StopCheck(look_again=now - found.run_state_at < GIVE_UP_AFTER_MS)
        deployments.set_run_state(connection, deployment_id, RunState.STOPPED, now)
        return StopCheck(look_again=False)

    return await deps.db.write(write)
