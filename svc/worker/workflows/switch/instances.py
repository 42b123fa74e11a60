"""The target's instances: started for a promote or rollback, or stopped because a user says so."""

from functools import partial

from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import RunState
from pkg.operations import queries as operations
from pkg.regions import queries as regions
from pkg.regions.deployment_health import required_regions
from pkg.workflows.objects import ROUTING_RETIRE
from sealift.workflow.v1.workflow_pb2 import RetireRequest
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows import instances
from svc.worker.workflows.compensation import Compensations, ExitReason, WorkflowExit
from svc.worker.workflows.instances import Assessment, InstancesObservation
from svc.worker.workflows.switch.record import SwitchInput
from svc.worker.workflows.waiting import INSTANCES, Observation, WakeUp, watch

STOPPED_WITHIN_S = 60  # afterwards it continues to stop, and is marked stopped later


class TargetStart(Observation, frozen=True, kw_only=True):
    """Whether the target could be placed, and how long its start may take."""

    placed: bool
    timeout_s: int


async def start_target(ctx: WorkflowContext, journal: Journal, switch: SwitchInput, undo: Compensations) -> None:
    """Starts the target from its own image and settings, until it is healthy. Raises WorkflowExit."""
    undo.add(
        partial(instances.stop, journal, switch.environment_id, switch.deployment_id, operation_id=switch.operation_id)
    )
    started = await journal.step("start", start, switch.operation_id, switch.deployment_id)
    if not started.placed:
        raise WorkflowExit(ExitReason.FAILED)
    observed = await watch(
        journal, "health", observe_health, started.timeout_s, WakeUp(ctx, INSTANCES), None,
        switch.operation_id, switch.deployment_id,
    )  # fmt: skip
    if observed.outcome in ("waiting", "unseen"):
        await journal.step(
            "note not healthy", note, switch.operation_id, switch.deployment_id, "instance.not_healthy",
            started.timeout_s,
        )  # fmt: skip
    if observed.outcome != "healthy":
        raise WorkflowExit(ExitReason.FAILED)


async def start(deps: WorkerDeps, operation_id: str, deployment_id: str) -> TargetStart:
    """Places the target in the regions that can run its image. Idempotent."""

    def write(connection: Connection) -> TargetStart:
        now = deps.clock()
        found = deployments.get(connection, deployment_id)
        assert found is not None
        able = [one for one in regions.every(connection) if found.image_region in (None, one.name)]
        if not able or instances.obstacle(found.image_ref, able):
            where = found.image_region or "any region"
            message = f"No region can run {found.id} now: its image needs {where}. Deploy that commit again."
            operations.note_error(connection, operation_id, code="instance.no_region", message=message)
            return TargetStart(settled=True, now=now, placed=False, timeout_s=0)
        instances.put(connection, found, found.image_ref, [region.name for region in able], now)
        return TargetStart(settled=True, now=now, placed=True, timeout_s=instances.start_timeout_s(found))

    return await deps.db.write(write)


async def observe_health(deps: WorkerDeps, operation_id: str, deployment_id: str) -> InstancesObservation:
    """Assesses the instances once; notes a failure with its reason at once."""
    now = deps.clock()

    def read(connection: Connection) -> Assessment | None:
        if not required_regions(connection, deployment_id):
            return None
        return instances.assess(connection, _target(connection, deployment_id), now)

    assessment = await deps.db.read(read)
    if assessment is None:
        await deps.db.write(_note_stopped, operation_id, deployment_id)
        return InstancesObservation(settled=True, now=now, outcome="failed")
    if assessment.outcome == "failed":
        await note(deps, operation_id, deployment_id, assessment.code, None)
    return InstancesObservation(settled=assessment.is_final, now=now, outcome=assessment.outcome)


async def note(deps: WorkerDeps, operation_id: str, deployment_id: str, code: str, waited_s: int | None) -> None:
    """Keeps why the instances did not become healthy. Idempotent."""

    def write(connection: Connection) -> None:
        target = _target(connection, deployment_id)
        failure = instances.explain_failure(connection, target, code, waited_s, deps.clock())
        operations.note_error(connection, operation_id, code=failure.code, message=failure.message)
        deployments.keep_output(connection, deployment_id, failure.output)

    await deps.db.write(write)


def _note_stopped(connection: Connection, operation_id: str, deployment_id: str) -> None:
    """A newer switch to the same target failed before this one saw why, and stopped what both waited for."""
    message = f"Deployment {deployment_id} was stopped while it started: a newer promote or rollback to it failed."
    operations.note_error(connection, operation_id, code="operation.overtaken", message=message)


def _target(connection: Connection, deployment_id: str) -> Deployment:
    found = deployments.get(connection, deployment_id)
    assert found is not None
    return found


async def stop_target(ctx: WorkflowContext, journal: Journal, switch: SwitchInput) -> None:
    """Stops the target through Routing, which checks again whether it is needed. Raises WorkflowExit when it is."""
    request = RetireRequest(deployment_id=switch.deployment_id, operation_id=switch.operation_id)
    reply = await journal.call(ROUTING_RETIRE, switch.environment_id, request)
    if not reply.stopped:
        await journal.step("note routed", note_routed, switch.operation_id, switch.deployment_id)
        raise WorkflowExit(ExitReason.FAILED)
    await watch(
        journal, "stopped", observe_stopped, STOPPED_WITHIN_S, WakeUp(ctx, INSTANCES), None, switch.deployment_id
    )


async def observe_stopped(deps: WorkerDeps, deployment_id: str) -> Observation:
    """Marks it stopped once no region reports an instance. Idempotent."""

    def write(connection: Connection) -> Observation:
        now = deps.clock()
        gone = not regions.any_alive(connection, deployment_id)
        if gone:
            deployments.set_run_state(connection, deployment_id, RunState.STOPPED, now)
        return Observation(settled=gone, now=now)

    return await deps.db.write(write)


async def note_routed(deps: WorkerDeps, operation_id: str, deployment_id: str) -> None:
    """Keeps why it was not stopped. Idempotent."""

    def write(connection: Connection) -> None:
        message = (
            f"Deployment {deployment_id} was not stopped: it has become live, or a deploy, promote or rollback of its "
            "environment is moving the routes right now. See `sealift ls`, and try again once that has ended."
        )
        operations.note_error(connection, operation_id, code="deployment.routed", message=message)

    await deps.db.write(write)
