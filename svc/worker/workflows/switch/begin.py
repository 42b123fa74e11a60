"""First step: what is to be done, and may it still be?"""

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


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What the workflow needs to know of its rows.

    `is_cold`: the target's instances must be started first.
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


async def begin(deps: WorkerDeps, operation_id: str, code_version: int) -> Begun:
    """Marks the operation running; the gates are asked again, as time has passed. Idempotent."""

    def write(connection: Connection) -> Begun:
        operation = operations.get(connection, operation_id)
        if operation is None:
            raise TerminalError(f"no operation {operation_id}", status_code=404)
        target = deployments.get(connection, operation.deployment_id)
        environment = environments.get(connection, operation.environment_id)
        assert target is not None
        assert environment is not None
        # begun before: this very step was repeated after its commit
        if operations.begin(connection, operation_id) or operation.status is OperationStatus.RUNNING:
            _check(connection, operation, target, environment, deps.clock())
        is_now = operations.get(connection, operation_id)
        assert is_now is not None
        return Begun(
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
        )

    return await deps.db.write(write)


def _check(
    connection: Connection, operation: Operation, target: Deployment, environment: Environment, now: int
) -> None:
    try:
        if operation.kind.is_stop:
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
