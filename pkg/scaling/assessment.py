"""How far a scale or restart has come, by what the regions reported last."""

from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import RunState
from pkg.operations.model import Operation, OperationKind
from pkg.regions import deployment_health
from pkg.regions import queries as regions
from pkg.regions.silence import silences
from pkg.routes import queries as routes
from pkg.scaling import effects
from pkg.scaling.progress import Outcome, Progress, Wanted, progress_of


def target(connection: Connection, operation: Operation) -> Deployment | None:
    """The deployment whose instances are waited for: what is live now, or what is restarted; None: it is gone."""
    deployment_id: str | None = operation.deployment_id
    if operation.kind is OperationKind.SCALE:
        deployment_id = routes.live_deployment_id(connection, operation.environment_id)
    return None if deployment_id is None else deployments.get(connection, deployment_id)


def is_less(connection: Connection, operation: Operation, deployment: Deployment) -> bool:
    """Whether the operation, a scale, asks for fewer instances than ran before."""
    if operation.kind is not OperationKind.SCALE or operation.replicas is None:
        return False
    return operation.replicas < effects.settings_without(connection, operation, deployment).replicas


def assess(connection: Connection, operation: Operation, now: int) -> Progress:
    """Whether to wait for the instances; failed with a code and a reason for people."""
    if operation.kind is OperationKind.SCALE and (newer := effects.newer(connection, operation)) is not None:
        return Progress(Outcome.FAILED, f"a newer scale to {newer.replicas} came first", "operation.overtaken")
    deployment = target(connection, operation)
    if deployment is None or deployment.run_state in (RunState.STOPPING, RunState.STOPPED):
        return Progress(Outcome.FAILED, "the app was stopped meanwhile", "operation.overtaken")
    return _assess(connection, operation, deployment, now)


def _assess(connection: Connection, operation: Operation, deployment: Deployment, now: int) -> Progress:
    settings = deployment_health.current_settings(connection, deployment)
    wanted = Wanted(
        settings.replicas,
        is_scaled=settings.autoscaling is not None,
        generation=operation.seq if operation.kind is OperationKind.RESTART else 0,
        is_less=is_less(connection, operation, deployment),
    )
    found = progress_of(
        deployment_health.required_regions(connection, deployment.id),
        wanted,
        regions.instances_of(connection, deployment.id),
        silences(regions.every(connection), now),
    )
    if found.outcome is Outcome.WAITING and not wanted.is_less:
        code = deployment_health.shortage_code(connection, deployment, now)
        return Progress(Outcome.FAILED, found.reason, code) if code else found
    return found
