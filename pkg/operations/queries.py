"""Statements about operations."""

from typing import Any

from sqlalchemy import Connection, insert, select, update

from pkg.db import rows
from pkg.operations.model import Operation, OperationKind, OperationStatus
from pkg.operations.tables import operations

MAX_MESSAGE_CHARS = 2048


def add(connection: Connection, values: dict[str, Any]) -> None:
    """Inserts a row; `values` holds the columns of `operations`."""
    connection.execute(insert(operations).values(**values))


def get(connection: Connection, operation_id: str, *, workspace_id: str | None = None) -> Operation | None:
    """The operation, or None when it does not exist (in that workspace)."""
    query = select(operations).where(operations.c.id == operation_id)
    if workspace_id is not None:
        query = query.where(operations.c.workspace_id == workspace_id)
    return rows.one(Operation, connection.execute(query))


def in_flight(connection: Connection) -> list[Operation]:
    """Every operation that has not ended."""
    query = select(operations).where(operations.c.status.in_([OperationStatus.PENDING, OperationStatus.RUNNING]))
    return rows.every(Operation, connection.execute(query))


def latest_begun(
    connection: Connection,
    kind: OperationKind,
    environment_id: str,
    *,
    deployment_id: str | None = None,
    process: str = "",
    other_than: str = "",
) -> Operation | None:
    """The operation of the kind with the highest number that runs or is done; None: none does.

    `deployment_id` None: of the whole environment. `process`: of scales, "" for web. `other_than`: an operation that
    does not count.
    """
    query = select(operations).where(
        operations.c.environment_id == environment_id,
        operations.c.kind == kind,
        operations.c.status.in_([OperationStatus.RUNNING, OperationStatus.DONE]),
        operations.c.process == process,
        operations.c.id != other_than,
    )
    if deployment_id is not None:
        query = query.where(operations.c.deployment_id == deployment_id)
    return rows.one(Operation, connection.execute(query.order_by(operations.c.seq.desc()).limit(1)))


def begin(connection: Connection, operation_id: str) -> bool:
    """Marks it running. False: it has started, or ended, already."""
    statement = (
        update(operations)
        .where(operations.c.id == operation_id, operations.c.status == OperationStatus.PENDING)
        .values(status=OperationStatus.RUNNING)
    )
    return connection.execute(statement).rowcount == 1


def note_error(connection: Connection, operation_id: str, *, code: str, message: str) -> None:
    """Records why it is about to fail, before it is undone. The status stays. Idempotent."""
    connection.execute(
        update(operations)
        .where(
            operations.c.id == operation_id,
            operations.c.status.in_([OperationStatus.PENDING, OperationStatus.RUNNING]),
        )
        .values(error_code=code, error_message=message[:MAX_MESSAGE_CHARS])
    )


def end(
    connection: Connection,
    operation_id: str,
    status: OperationStatus,
    now: int,
    *,
    error_code: str | None = None,
    error_message: str | None = None,
    notices: tuple[str, ...] = (),
) -> bool:
    """Ends it. False: it had ended already."""
    statement = (
        update(operations)
        .where(
            operations.c.id == operation_id,
            operations.c.status.in_([OperationStatus.PENDING, OperationStatus.RUNNING]),
        )
        .values(
            status=status,
            ended_at=now,
            error_code=error_code,
            error_message=None if error_message is None else error_message[:MAX_MESSAGE_CHARS],
            notices_json=list(notices),
        )
    )
    return connection.execute(statement).rowcount == 1
