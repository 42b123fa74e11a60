"""Moving routes for an intent, and back."""

import msgspec
from restate import TerminalError
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.addresses import domains_of, hostnames_of
from pkg.deployments.model import Deployment
from pkg.deployments.status import RunState, Status
from pkg.environments import queries as environments
from pkg.operations import queries as operations
from pkg.operations.model import OperationKind, OperationStatus
from pkg.regions import processes
from pkg.routes import moves
from pkg.routes import queries as routes
from pkg.routes.rules import Intent
from svc.worker.deps import WorkerDeps


class RoutesAssigned(msgspec.Struct, frozen=True, kw_only=True):
    """See AssignReply."""

    version: int
    hostnames: list[str]
    newer_deployment_id: str
    previous_deployment_id: str
    taken: bool


async def assign_routes(deps: WorkerDeps, deployment_id: str, operation_id: str) -> RoutesAssigned:
    """One transaction: the moves, whether the environment is rolled back, and notices for the user.

    Raises TerminalError when the intent may not move routes any more: it has ended, or the instances are not up.
    """

    def write(connection: Connection) -> RoutesAssigned:
        now = deps.clock()
        deployment = deployments.get(connection, deployment_id)
        environment = None if deployment is None else environments.get(connection, deployment.environment_id)
        if deployment is None or environment is None:
            raise TerminalError(f"no deployment {deployment_id}", status_code=404)
        intent, seq = _intent(connection, deployment, operation_id)
        done = moves.assign(
            connection,
            deployment=deployment,
            environment=environment,
            hostnames=[
                *hostnames_of(connection, deployment, environment, deps.config.ingress.apex_domain),
                *domains_of(connection, environment.id),
            ],
            intent=intent,
            seq=seq,
            now=now,
        )
        if intent is Intent.DEPLOY:
            _add_notices(connection, deployment, done, now)
        else:
            deployments.set_run_state(connection, deployment.id, RunState.RUNNING, now)
            if done.taken:
                processes.start(connection, deployment.id, now)
                environments.set_rolled_back(connection, environment.id, intent is Intent.ROLLBACK, now)
        return RoutesAssigned(
            version=done.version,
            hostnames=list(done.hostnames),
            newer_deployment_id=done.newer_deployment_id or "",
            previous_deployment_id=done.previous_deployment_id or "",
            taken=done.taken,
        )

    return await deps.db.write(write)


def _intent(connection: Connection, deployment: Deployment, operation_id: str) -> tuple[Intent, int]:
    if not operation_id:
        if deployment.status is not Status.NETWORK:
            raise TerminalError(f"{deployment.id} is {deployment.status}: it takes no routes", status_code=409)
        return Intent.DEPLOY, deployment.seq
    operation = operations.get(connection, operation_id)
    if operation is None or operation.status is not OperationStatus.RUNNING:
        raise TerminalError(f"operation {operation_id} is not running: it takes no routes", status_code=409)
    if deployment.status is not Status.READY or not (
        deployment.run_state.is_warm or deployment.run_state is RunState.STARTING
    ):
        raise TerminalError(f"{deployment.id} is {deployment.run_state}: it takes no routes", status_code=409)
    intent = Intent.ROLLBACK if operation.kind is OperationKind.ROLLBACK else Intent.PROMOTE
    return intent, operation.seq


def _add_notices(connection: Connection, deployment: Deployment, done: moves.Assigned, now: int) -> None:
    notices = []
    if done.newer_deployment_id is not None:
        notices.append(f"live is {done.newer_deployment_id} (newer)")
    elif done.is_stopped:
        notices.append("the app was stopped after this deploy began: promote this deployment to make it live")
    if done.rolled_back:
        notices.append("environment is rolled back: promote this deployment to make it live")
    notices += [f"{hostname} belongs to another environment and was left there" for hostname in done.refused]
    for notice in notices:
        deployments.add_notice(connection, deployment.id, notice, now)


class RoutesUndone(msgspec.Struct, frozen=True, kw_only=True):
    """See UndoReply."""

    version: int
    hostnames: list[str]
    removed: list[str]


async def undo_routes(deps: WorkerDeps, deployment_id: str, operation_id: str) -> RoutesUndone:
    """One transaction: what the intent took and still holds goes back to deployments that can answer now. Idempotent.

    A deployment that gets a route back is running again; a promote's or rollback's own target goes back to standby
    unless an earlier intent holds routes for it. The environment is rolled back if a rollback made live what is live
    now.
    """

    def write(connection: Connection) -> RoutesUndone:
        now = deps.clock()
        deployment = deployments.get(connection, deployment_id)
        operation = operations.get(connection, operation_id) if operation_id else None
        if deployment is None or (operation_id and operation is None):
            return RoutesUndone(version=0, hostnames=[], removed=[])
        seq = deployment.seq if operation is None else operation.seq
        done = moves.undo(connection, deployment_id=deployment_id, seq=seq, now=now)
        for route in filter(None, (routes.get(connection, hostname) for hostname in done.hostnames)):
            deployments.set_run_state(connection, route.deployment_id, RunState.RUNNING, now)
        live_id = routes.live_deployment_id(connection, deployment.environment_id)
        if live_id is not None:
            processes.start(connection, live_id, now)
        if done.version:
            environment_id = deployment.environment_id
            is_rolled_back = moves.is_live_by_rollback(connection, environment_id)
            environments.set_rolled_back(connection, environment_id, is_rolled_back, now)
        if operation is not None and not routes.sticky_hostnames(connection, deployment_id):
            deployments.set_run_state(connection, deployment_id, RunState.STANDBY, now)
        if operation is not None and deployment_id != live_id:
            processes.stop(connection, deployment_id, now)
        return RoutesUndone(version=done.version, hostnames=list(done.hostnames), removed=list(done.removed))

    return await deps.db.write(write)
