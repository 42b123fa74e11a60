"""A scale or a restart: the regions are told, and waited for; what does not succeed is taken back."""

from functools import partial

from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.operations import queries as operations
from pkg.operations.model import Operation, OperationKind
from pkg.regions.deployment_health import current_settings
from pkg.scaling import effects
from pkg.scaling.assessment import assess, is_less, target
from pkg.scaling.progress import Outcome
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows import instances
from svc.worker.workflows.compensation import Compensations, ExitReason, WorkflowExit
from svc.worker.workflows.switch.record import SwitchInput
from svc.worker.workflows.waiting import INSTANCES, Observation, WakeUp, watch

ENDED_WITHIN_S = 60  # instances beyond a smaller number; afterwards they continue to end
END_S = 30  # for one instance to leave the ingress and to end
MAX_RESTART_S = 3600


class RollStart(Observation, frozen=True, kw_only=True):
    """How long the regions may take. `is_less`: a smaller number needs no healthy instance."""

    timeout_s: int
    is_less: bool


class RollObservation(Observation, frozen=True, kw_only=True):
    """`outcome`: of `pkg.scaling.progress`."""

    outcome: str


async def roll(ctx: WorkflowContext, journal: Journal, switch: SwitchInput, undo: Compensations) -> None:
    """Tells the regions and waits until they run what is wanted. Raises WorkflowExit."""
    undo.add(partial(_take_back, journal, switch.operation_id))
    told = await journal.step("tell regions", tell_regions, switch.operation_id)
    observed = await watch(
        journal, "rolled", observe_rolled, told.timeout_s, WakeUp(ctx, INSTANCES), None, switch.operation_id
    )
    if observed.outcome == Outcome.DONE or (told.is_less and observed.outcome == Outcome.WAITING):
        return
    if observed.outcome == Outcome.WAITING:
        await journal.step("note not rolled", note_not_rolled, switch.operation_id, told.timeout_s)
    raise WorkflowExit(ExitReason.FAILED)


async def _take_back(journal: Journal, operation_id: str) -> None:
    await journal.step("take back", take_back, operation_id)


async def tell_regions(deps: WorkerDeps, operation_id: str) -> RollStart:
    """Records what the regions are to run. Idempotent."""

    def write(connection: Connection) -> RollStart:
        now = deps.clock()
        operation = _operation(connection, operation_id)
        effects.apply(connection, operation, now)
        deployment = target(connection, operation)
        if deployment is None:
            return RollStart(settled=True, now=now, timeout_s=0, is_less=False)
        if is_less(connection, operation, deployment):
            return RollStart(settled=True, now=now, timeout_s=ENDED_WITHIN_S, is_less=True)
        timeout_s = instances.start_timeout_s(deployment)
        if operation.kind is OperationKind.RESTART:
            settings = current_settings(connection, deployment)
            most = settings.autoscaling.max_replicas if settings.autoscaling else settings.replicas
            timeout_s = min(MAX_RESTART_S, (most + 1) * (timeout_s + END_S))
        return RollStart(settled=True, now=now, timeout_s=timeout_s, is_less=False)

    return await deps.db.write(write)


async def observe_rolled(deps: WorkerDeps, operation_id: str) -> RollObservation:
    """Assesses the instances once; notes a failure with its reason at once."""
    now = deps.clock()

    def read(connection: Connection) -> tuple[Operation, Outcome, str, str]:
        operation = _operation(connection, operation_id)
        found = assess(connection, operation, now)
        return operation, found.outcome, found.code, found.reason

    operation, outcome, code, reason = await deps.db.read(read)
    if outcome is Outcome.FAILED:
        await _note(deps, operation, code, reason)
    return RollObservation(settled=outcome is not Outcome.WAITING, now=now, outcome=outcome)


async def note_not_rolled(deps: WorkerDeps, operation_id: str, waited_s: int) -> None:
    """Keeps what was still missing. Idempotent."""

    def read(connection: Connection) -> tuple[Operation, str]:
        operation = _operation(connection, operation_id)
        return operation, assess(connection, operation, deps.clock()).reason

    operation, reason = await deps.db.read(read)
    await _note(deps, operation, "instance.not_healthy", f"not within {waited_s} s: {reason}")


async def take_back(deps: WorkerDeps, operation_id: str) -> None:
    """Has the regions run what they would without the operation. Idempotent."""

    def write(connection: Connection) -> None:
        effects.undo(connection, _operation(connection, operation_id), deps.clock())

    await deps.db.write(write)


async def _note(deps: WorkerDeps, operation: Operation, code: str, reason: str) -> None:
    def write(connection: Connection) -> None:
        operations.note_error(connection, operation.id, code=code, message=_message(operation, code, reason))

    await deps.db.write(write)


def _message(operation: Operation, code: str, reason: str) -> str:
    """What happened, and what runs now."""
    said = reason.rstrip(". ")
    if operation.kind is OperationKind.SCALE:
        head = f"The app was not scaled to {operation.replicas}: {said}."
        if code == "operation.overtaken":
            return f"{head} `sealift ps` shows what runs."
        return f"{head} It keeps the number that it had; what ran goes on."
    head = f"Deployment {operation.deployment_id} was not restarted: {said}."
    if code == "operation.overtaken":
        return f"{head} `sealift ls` shows what runs."
    return f"{head} Instances that were not made again yet serve on; `sealift ps` shows which."


def _operation(connection: Connection, operation_id: str) -> Operation:
    found = operations.get(connection, operation_id)
    assert found is not None
    return found
