"""Statements about dispatch rows."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pkg.builds.tables import builds
from pkg.db import rows
from pkg.deployments.tables import deployments
from pkg.operations.tables import operations
from pkg.workflows.tables import dispatches


class WorkflowName(StrEnum):
    """The workflows that an intent may start, by their Restate names."""

    DEPLOY = "Deploy"
    BUILD = "Build"
    SWITCH = "Switch"


@dataclass(frozen=True)
class Dispatch:
    """A row of `dispatches`."""

    id: int
    workflow: WorkflowName
    key: str
    invocation_id: str | None
    attempts: int
    last_error: str | None
    created_at: int
    sent_at: int | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "workflow", WorkflowName(self.workflow))


def add(connection: Connection, workflow: WorkflowName, key: str, now: int) -> None:
    """Puts an intent into the outbox; again for one that was sent: it is sent again. Idempotent."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(dispatches).values(workflow=workflow, key=key, attempts=0, created_at=now)
    connection.execute(statement.on_conflict_do_update(index_elements=["workflow", "key"], set_={"sent_at": None}))


def due(connection: Connection, *, only_again: bool = False, limit: int = 100) -> list[Dispatch]:
    """What is to be sent, oldest first; `only_again`: without what Restate never had."""
    query = select(dispatches).where(dispatches.c.sent_at.is_(None)).order_by(dispatches.c.id).limit(limit)
    if only_again:
        query = query.where(dispatches.c.invocation_id.is_not(None))
    return rows.every(Dispatch, connection.execute(query))


def never_sent(connection: Connection, workflow: WorkflowName, keys: Collection[str]) -> set[str]:
    """Those of the intents that Restate never had, as far as is known: it may just have taken one."""
    query = select(dispatches.c.key).where(
        dispatches.c.workflow == workflow, dispatches.c.key.in_(keys), dispatches.c.invocation_id.is_(None)
    )
    return {str(row.key) for row in connection.execute(query)}


def get(connection: Connection, workflow: WorkflowName, key: str) -> Dispatch | None:
    """The row of one intent."""
    query = select(dispatches).where(dispatches.c.workflow == workflow, dispatches.c.key == key)
    return rows.one(Dispatch, connection.execute(query))


def traceparent(connection: Connection, workflow: WorkflowName, key: str) -> str:
    """The trace that the intent was recorded in; "" for none."""
    table = {WorkflowName.DEPLOY: deployments, WorkflowName.BUILD: builds, WorkflowName.SWITCH: operations}[workflow]
    found = connection.execute(select(table.c.traceparent).where(table.c.id == key)).scalar_one_or_none()
    return str(found or "")


def mark_sent(connection: Connection, dispatch_id: int, invocation_id: str, now: int) -> None:
    """Restate has accepted it, now or before."""
    connection.execute(
        update(dispatches)
        .where(dispatches.c.id == dispatch_id)
        .values(sent_at=now, invocation_id=invocation_id, attempts=dispatches.c.attempts + 1, last_error=None)
    )


def mark_failed(connection: Connection, dispatch_id: int, error: str) -> None:
    """Restate did not take it; it stays due."""
    connection.execute(
        update(dispatches)
        .where(dispatches.c.id == dispatch_id)
        .values(attempts=dispatches.c.attempts + 1, last_error=error[:512])
    )
