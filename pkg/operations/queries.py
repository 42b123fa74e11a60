"""Statements about operations."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, insert, select, update

from pkg.db import rows
from pkg.operations.tables import operations

MAX_MESSAGE_CHARS = 2048


class OperationKind(StrEnum):
    """What an operation does."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    STOP = "stop"
    TAKE_DOWN = "take_down"  # a stop of what is live

    @property
    def is_stop(self) -> bool:
        """It ends instances; the others move routes."""
        return self in (OperationKind.STOP, OperationKind.TAKE_DOWN)


class OperationStatus(StrEnum):
    """How far an operation is."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Never overwritten once reached."""
        return self in (OperationStatus.DONE, OperationStatus.FAILED)


@dataclass(frozen=True)
class Operation:
    """A row of `operations`."""

    id: str
    workspace_id: str
    environment_id: str
    kind: OperationKind
    status: OperationStatus
    seq: int
    deployment_id: str
    previous_deployment_id: str | None
    error_code: str | None
    error_message: str | None
    notices_json: list[str]
    traceparent: str
    created_at: int
    ended_at: int | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", OperationKind(self.kind))
        object.__setattr__(self, "status", OperationStatus(self.status))


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


def begin(connection: Connection, operation_id: str) -> bool:
    """Marks it running. False: it has begun, or ended, already."""
    statement = (
        update(operations)
        .where(operations.c.id == operation_id, operations.c.status == OperationStatus.PENDING)
        .values(status=OperationStatus.RUNNING)
    )
    return connection.execute(statement).rowcount == 1


def note_error(connection: Connection, operation_id: str, *, code: str, message: str) -> None:
    """Keeps why it is about to fail, before it is undone. The status stays. Idempotent."""
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
