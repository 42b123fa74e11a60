"""The operation's row: what the workflow reads first, and the outcomes that it writes last."""

from collections.abc import Sequence

import msgspec
from restate import TerminalError
from sqlalchemy import Connection

from pkg.deployments import gates
from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.environments import queries as environments
from pkg.environments.model import Environment
from pkg.errors import FailedPrecondition
from pkg.operations import queries as operations
from pkg.operations.model import Operation, OperationKind, OperationStatus
from pkg.routes import queries as routes
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.standby import Displaced, displace, retire_later


class SwitchInput(msgspec.Struct, frozen=True, kw_only=True):
    """What the workflow needs of its rows.

    `is_cold`: the target's instances must be started first. `starts_processes`: it is warm, its processes are stopped.
    """

    code_version: int
    operation_id: str
    kind: str
    status: str
    error_code: str
    is_over: bool
    environment_id: str
    deployment_id: str
    is_cold: bool
    traceparent: str
    starts_processes: bool = False


async def begin(deps: WorkerDeps, operation_id: str, code_version: int) -> SwitchInput:
    """Marks the operation running; checks again that it is allowed, as time has passed. Idempotent."""

    def write(connection: Connection) -> SwitchInput:
        operation = operations.get(connection, operation_id)
        if operation is None:
            raise TerminalError(f"no operation {operation_id}", status_code=404)
        target = deployments.get(connection, operation.deployment_id)
        environment = environments.get(connection, operation.environment_id)
        assert target is not None
        assert environment is not None
        # RUNNING: this step was repeated after its commit
        if operations.begin(connection, operation_id) or operation.status is OperationStatus.RUNNING:
            _check(connection, operation, target, environment, deps.clock())
        is_now = operations.get(connection, operation_id)
        assert is_now is not None
        return SwitchInput(
            code_version=code_version,
            operation_id=operation_id,
            kind=operation.kind,
            status=is_now.status,
            error_code=is_now.error_code or "",
            is_over=is_now.status.is_terminal,
            environment_id=environment.id,
            deployment_id=target.id,
            is_cold=not target.run_state.is_warm,
            traceparent=operation.traceparent,
            starts_processes=operation.kind.moves_routes and target.run_state.is_warm and target.processes_stopped,
        )

    return await deps.db.write(write)


def _check(
    connection: Connection, operation: Operation, target: Deployment, environment: Environment, now: int
) -> None:
    try:
        if operation.kind is OperationKind.SCALE:
            live_id = routes.live_deployment_id(connection, environment.id)
            gates.check_scale(
                None if live_id is None else deployments.get(connection, live_id),
                environment_slug=environment.slug,
                is_stopped=bool(routes.stopped_environments(connection, [environment.id])),
                process=operation.process,
            )
        elif operation.kind is OperationKind.RESTART:
            gates.check_restart(target)
        elif operation.kind.is_stop:
            gates.check_stop(
                target,
                live_hostnames=routes.live_hostnames(connection, target.id),
                takes_down=operation.kind is OperationKind.TAKE_DOWN,
            )
        else:
            gates.check_switch(
                target,
                live_deployment_id=routes.live_deployment_id(connection, environment.id),
                is_rolled_back=environment.is_rolled_back,
                is_rollback=operation.kind is OperationKind.ROLLBACK,
            )
    except FailedPrecondition as refused:
        operations.end(
            connection,
            operation.id,
            OperationStatus.FAILED,
            now,
            error_code=refused.code,
            error_message=refused.message,
        )


class Completion(msgspec.Struct, frozen=True):
    """`unrouted`: deployments to stop after a while."""

    now: int
    unrouted: list[Displaced]


async def complete(journal: Journal, switch: SwitchInput, notices: Sequence[str] = ()) -> None:
    """Ends the operation as done, with notices; what it displaced stays on standby for a while."""
    done = await journal.step("done", write_done, switch.operation_id, list(notices))
    retire_later(journal, switch.environment_id, done.unrouted, done.now)


async def write_done(deps: WorkerDeps, operation_id: str, notices: Sequence[str] = ()) -> Completion:
    """Ends it, and puts on standby what lost its shared hostnames. Idempotent."""

    def write(connection: Connection) -> Completion:
        now = deps.clock()
        operation = operations.get(connection, operation_id)
        assert operation is not None
        operations.end(connection, operation_id, OperationStatus.DONE, now, notices=tuple(notices))
        if not operation.kind.moves_routes:
            return Completion(now, [])
        displaced = displace(
            connection,
            operation.environment_id,
            ready_id=operation.deployment_id,
            since=operation.created_at,
            now=now,
        )
        return Completion(now, displaced)

    return await deps.db.write(write)


class SwitchOutcome(msgspec.Struct, frozen=True):
    """How it ended."""

    status: str
    error_code: str


async def note_abort(deps: WorkerDeps, operation_id: str, reason: str) -> None:
    """Keeps that it was aborted, unless a better reason is known. Idempotent."""

    def write(connection: Connection) -> None:
        found = operations.get(connection, operation_id)
        if found is not None and found.error_code is None:
            message = f"The switch could not continue and was undone: {reason}. Try again."
            operations.note_error(connection, operation_id, code="operation.aborted", message=message)

    await deps.db.write(write)


async def end(deps: WorkerDeps, operation_id: str) -> SwitchOutcome:
    """Writes `failed`, once everything is undone. Idempotent; never overwrites an end."""

    def write(connection: Connection) -> SwitchOutcome:
        found = operations.get(connection, operation_id)
        assert found is not None
        operations.end(
            connection,
            operation_id,
            OperationStatus.FAILED,
            deps.clock(),
            error_code=found.error_code or "operation.aborted",
            error_message=found.error_message or "The switch was aborted and undone. Try again.",
        )
        is_now = operations.get(connection, operation_id)
        assert is_now is not None
        return SwitchOutcome(is_now.status, is_now.error_code or "")

    return await deps.db.write(write)
