"""Operations in messages, and how one is recorded, once for each idempotency key."""

import logging
from collections.abc import Callable

from sqlalchemy import Connection

from pkg.environments.model import Environment
from pkg.observability.logging import fields
from pkg.operations.model import Operation, OperationKind, OperationStatus
from pkg.workflows.switch import SWITCH
from sealift.ctrl.v1 import common_pb2
from sealift.ctrl.v1 import deployment_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.requests import lookup, queued
from svc.api.requests.idempotency import IdempotencyKey
from svc.api.requests.mutation import Change, mutate
from svc.api.rpc import Call

log = logging.getLogger(__name__)

KINDS = {
    OperationKind.PROMOTE: pb.OPERATION_KIND_PROMOTE,
    OperationKind.ROLLBACK: pb.OPERATION_KIND_ROLLBACK,
    OperationKind.STOP: pb.OPERATION_KIND_STOP,
    OperationKind.TAKE_DOWN: pb.OPERATION_KIND_TAKE_DOWN,
    OperationKind.SCALE: pb.OPERATION_KIND_SCALE,
    OperationKind.RESTART: pb.OPERATION_KIND_RESTART,
}
STATUSES = {
    OperationStatus.PENDING: pb.OPERATION_STATUS_PENDING,
    OperationStatus.RUNNING: pb.OPERATION_STATUS_RUNNING,
    OperationStatus.DONE: pb.OPERATION_STATUS_DONE,
    OperationStatus.FAILED: pb.OPERATION_STATUS_FAILED,
}


def rendered(connection: Connection, workspace_id: str, operation_id: str) -> tuple[Operation, pb.Operation]:
    """The operation, and as it is shown. Raises NotFound."""
    found = lookup.operation(connection, workspace_id, operation_id)
    waiting = [found.id] if found.status is OperationStatus.PENDING else []
    return found, _render(found, queued.reasons(connection, SWITCH, waiting).get(found.id, ""))


async def record(
    deps: ApiDeps,
    call: Call,
    environment_of: Callable[[Connection], Environment],
    make: Callable[[Connection, Environment, int], str],
    key: IdempotencyKey | None,
) -> tuple[pb.Operation, bool]:
    """Records an operation and dispatches it; the second value says whether an earlier call with the key recorded it.

    `make` writes it, given the environment and the time, and answers its id.
    """

    def write(connection: Connection) -> Change[tuple[Operation, pb.Operation, bool]]:
        environment, now = environment_of(connection), deps.clock()
        made = None if key is None else key.find(connection, environment.project_id, now)
        already = made is not None
        if made is None:
            made = make(connection, environment, now)
            if key is not None:
                key.keep(connection, environment.project_id, made, now)
        operation, answer = rendered(connection, call.workspace_id, made)
        targets = {
            "project_id": environment.project_id,
            "environment_id": environment.id,
            "deployment_id": operation.deployment_id,
            "operation_id": operation.id,
        }
        return Change((operation, answer, already), {} if already else targets)

    operation, answer, already = await mutate(deps, call, write)
    if already:
        return answer, True
    deps.dispatcher.notify()
    log.info(
        "operation recorded",
        extra=fields(
            operation_id=operation.id,
            kind=operation.kind,
            environment_id=operation.environment_id,
            deployment_id=operation.deployment_id,
        ),
    )
    return answer, False


def _render(operation: Operation, queued_reason: str) -> pb.Operation:
    error = None
    if operation.error_code is not None:
        error = common_pb2.Problem(code=operation.error_code, message=operation.error_message or "")
    return pb.Operation(
        operation_id=operation.id,
        kind=KINDS[operation.kind],
        status=STATUSES[operation.status],
        environment_id=operation.environment_id,
        deployment_id=operation.deployment_id,
        previous_deployment_id=operation.previous_deployment_id or "",
        error=error,
        notices=operation.notices_json,
        created_at=operation.created_at,
        ended_at=operation.ended_at or 0,
        queued_reason=queued_reason,
        replicas=operation.replicas or 0,
        process=operation.process,
    )
