"""How far a scale or restart has come, by what the regions reported last."""

from collections.abc import Mapping
from dataclasses import replace

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
    before = effects.settings_without(connection, operation, deployment)
    if not operation.process:
        return operation.replicas < before.replicas
    process = before.process(operation.process)
    return process is not None and operation.replicas < process.replicas


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
    is_restart = operation.kind is OperationKind.RESTART
    generation = operation.seq if is_restart else 0
    less = is_less(connection, operation, deployment)
    wanted: dict[str, Wanted] = {}
    if is_restart or not operation.process:
        is_scaled = settings.autoscaling is not None
        wanted[""] = Wanted(settings.replicas, is_scaled=is_scaled, generation=generation, is_less=less)
    for process in () if deployment.processes_stopped else settings.processes:
        if is_restart or process.name == operation.process:
            wanted[process.name] = Wanted(process.replicas, generation=generation, is_less=less)
    found = _progress_of_all(connection, deployment, wanted, now)
    if found.outcome is Outcome.WAITING and not less:
        code = deployment_health.shortage_code(connection, deployment, now)
        return Progress(Outcome.FAILED, found.reason, code) if code else found
    return found


def _progress_of_all(
    connection: Connection, deployment: Deployment, wanted: Mapping[str, Wanted], now: int
) -> Progress:
    """Of the web instances ("") and of processes, together."""
    required = deployment_health.required_regions(connection, deployment.id)
    instances = regions.instances_of(connection, deployment.id)
    silent = silences(regions.every(connection), now)
    found = []
    for process, one in wanted.items():
        progress = progress_of(required, one, [row for row in instances if row.process == process], silent)
        is_named = process and progress.reason
        found.append(replace(progress, reason=f"process {process}: {progress.reason}") if is_named else progress)
    by_outcome = {one.outcome: one for one in reversed(found)}
    return by_outcome.get(Outcome.FAILED) or by_outcome.get(Outcome.WAITING) or Progress(Outcome.DONE)
