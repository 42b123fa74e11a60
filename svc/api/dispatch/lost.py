"""What to do about intents whose workflow is lost. Transactions, each repeatable.

Lost: Restate says that the workflow has ended, and its row is not terminal. Then the row ends as failed, the routes go
back to where they were, and only then (later versions of desired state) the instances stop.
"""

from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.builds.model import Build, BuildStatus
from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import RunState, Status, Step
from pkg.operations import queries as operations
from pkg.operations.model import Operation, OperationStatus
from pkg.regions import queries as regions
from pkg.routes import moves

CODE = "internal.workflow_lost"
_STEPS = {
    Status.PENDING: Step.QUEUED,
    Status.BUILDING: Step.BUILDING,
    Status.DEPLOYING: Step.DEPLOYING,
    Status.NETWORK: Step.NETWORK,
}


def fail_deployment(connection: Connection, deployment_id: str, now: int) -> Deployment | None:
    """Ends the deployment as failed and undoes what it did. None: it has ended properly meanwhile."""
    found = deployments.get(connection, deployment_id)
    if found is None or found.status.is_terminal:
        return None
    message = f"The deploy ended inside Sealift while it was {found.status}, without saying how: deploy again."
    ended = deployments.fail(connection, deployment_id, code=CODE, message=message, step=_STEPS[found.status], now=now)
    if not ended:
        return None
    moves.undo(connection, deployment_id=deployment_id, seq=found.seq, now=now)
    stop_instances(connection, deployment_id, now)
    if found.build_id is not None:
        builds.finish(connection, found.build_id, BuildStatus.CANCELLED, now)
    return found


def stop_instances(connection: Connection, deployment_id: str, now: int) -> None:
    """Takes the deployment's own hostnames away and says that no region is to run it. Repeatable.

    The worker's sweep sees that they have stopped.
    """
    moves.drop_own(connection, deployment_id, now)
    regions.stop(connection, deployment_id, now)
    deployments.set_run_state(connection, deployment_id, RunState.STOPPING, now)


def fail_build(connection: Connection, build_id: str, now: int) -> bool:
    """Ends the build as failed. False: it has ended properly meanwhile."""
    message = "The build ended inside Sealift without saying how: build again."
    return builds.finish(connection, build_id, BuildStatus.FAILED, now, error_code=CODE, error_message=message)


def end_orphan_build(connection: Connection, build: Build, now: int) -> bool:
    """Ends a build whose deployment has ended, as cancelled. False: its deployment has not ended."""
    owner = None if build.deployment_id is None else deployments.get(connection, build.deployment_id)
    if owner is None or not owner.status.is_terminal:
        return False
    return builds.finish(connection, build.id, BuildStatus.CANCELLED, now)


def fail_operation(connection: Connection, operation: Operation, now: int) -> bool:
    """Ends the operation as failed and gives back the routes it took. False: it has ended properly meanwhile."""
    message = f"The {operation.kind} ended inside Sealift without saying how: try it again."
    ended = operations.end(
        connection, operation.id, OperationStatus.FAILED, now, error_code=CODE, error_message=message
    )
    if ended:
        moves.undo(connection, deployment_id=operation.deployment_id, seq=operation.seq, now=now)
    return ended
