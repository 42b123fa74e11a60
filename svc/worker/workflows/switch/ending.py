"""The other end of an operation: failed, with the reason that was noted."""

import msgspec
from sqlalchemy import Connection

from pkg.operations import queries as operations
from pkg.operations.model import OperationStatus
from svc.worker.deps import WorkerDeps


class Ended(msgspec.Struct, frozen=True):
    """How it ended."""

    status: str
    error_code: str


async def note_abort(deps: WorkerDeps, operation_id: str, said: str) -> None:
    """Keeps that it could not go on, unless a better reason is known. Idempotent."""

    def write(connection: Connection) -> None:
        found = operations.get(connection, operation_id)
        if found is not None and found.error_code is None:
            message = f"The switch could not go on and was undone: {said}. Try again."
            operations.note_error(connection, operation_id, code="operation.aborted", message=message)

    await deps.db.write(write)


async def end(deps: WorkerDeps, operation_id: str) -> Ended:
    """Writes `failed`, once everything is undone. Idempotent; never overwrites an end."""

    def write(connection: Connection) -> Ended:
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
        return Ended(is_now.status, is_now.error_code or "")

    return await deps.db.write(write)
