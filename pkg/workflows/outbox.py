"""Statements about dispatch rows: what is still to be handed to Restate."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from pkg.db import upsert
from pkg.workflows import catalogue
from pkg.workflows.model import Workflow
from pkg.workflows.tables import dispatches


@dataclass(frozen=True)
class Dispatch:
    """A row of `dispatches`."""

    id: int
    workflow: Workflow
    key: str
    invocation_id: str | None
    attempts: int
    last_error: str | None
    created_at: int
    sent_at: int | None


def add(connection: Connection, workflow: Workflow, key: str, now: int) -> None:
    """Puts an intent into the outbox; one that was sent is sent again. Idempotent.

    Raises:
        LookupError: the workflow is not in the catalogue.
    """
    name = catalogue.named(workflow.name).name
    statement = upsert.insert(connection, dispatches).values(workflow=name, key=key, attempts=0, created_at=now)
    connection.execute(statement.on_conflict_do_update(index_elements=["workflow", "key"], set_={"sent_at": None}))


def due(connection: Connection, *, only_again: bool = False, limit: int = 100) -> list[Dispatch]:
    """What is to be sent, oldest first. `only_again`: only what Restate had before.

    Rows of a workflow that is not in the catalogue stay for the newer version that wrote them.
    """
    known = dispatches.c.workflow.in_([workflow.name for workflow in catalogue.ALL])
    query = select(dispatches).where(dispatches.c.sent_at.is_(None), known).order_by(dispatches.c.id).limit(limit)
    if only_again:
        query = query.where(dispatches.c.invocation_id.is_not(None))
    return [_dispatch(row) for row in connection.execute(query)]


def never_sent(connection: Connection, workflow: Workflow, keys: Collection[str]) -> set[str]:
    """Those of the intents that Restate never had, as far as is known: it may just have taken one."""
    query = select(dispatches.c.key).where(
        dispatches.c.workflow == workflow.name, dispatches.c.key.in_(keys), dispatches.c.invocation_id.is_(None)
    )
    return {str(row.key) for row in connection.execute(query)}


def get(connection: Connection, workflow: Workflow, key: str) -> Dispatch | None:
    """The row of one intent."""
    query = select(dispatches).where(dispatches.c.workflow == workflow.name, dispatches.c.key == key)
    row = connection.execute(query).one_or_none()
    return None if row is None else _dispatch(row)


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


def _dispatch(row: Row[Any]) -> Dispatch:
    values = row._asdict()
    return Dispatch(**values | {"workflow": catalogue.named(values["workflow"])})
