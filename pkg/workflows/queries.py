"""Statements about the rows of every workflow of the catalogue."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, and_, select

from pkg.restate import Handler
from pkg.workflows import catalogue
from pkg.workflows.model import PENDING, Notification, Workflow
from pkg.workflows.tables import dispatches
from sealift.workflow.v1.workflow_pb2 import Empty, NotifyRequest

Recipient = tuple[Handler[NotifyRequest, Empty], str]


@dataclass(frozen=True)
class UnfinishedWork:
    """A row without an outcome that the outbox starts.

    Attributes:
        key: the row's id.
        kind: what an operator calls it, e.g. "deploy" or "rollback".
        is_in_outbox: it is about to be handed to Restate, for the first time or again.
        is_begun: Restate has it, or had it.
    """

    workflow: Workflow
    key: str
    kind: str
    status: str
    is_in_outbox: bool
    is_begun: bool


def unfinished(connection: Connection) -> list[UnfinishedWork]:
    """All work without an outcome, in the order of its keys: oldest first."""
    found = [work for workflow in catalogue.ALL for work in _unfinished(connection, workflow)]
    return sorted(found, key=lambda work: work.key)


def awaited_by_drain(connection: Connection) -> list[UnfinishedWork]:
    """Unfinished work of workflows that a drain waits for. It waits for what `is_begun`; the rest stays recorded."""
    return [work for work in unfinished(connection) if work.workflow.is_awaited_by_drain]


def _unfinished(connection: Connection, workflow: Workflow) -> list[UnfinishedWork]:
    rows = workflow.rows
    query = (
        select(
            rows.table.c.id,
            rows.table.c.status,
            rows.kind.label("kind"),
            dispatches.c.id.label("dispatch_id"),
            dispatches.c.sent_at,
            dispatches.c.invocation_id,
        )
        .select_from(rows.table)
        .outerjoin(dispatches, and_(dispatches.c.workflow == workflow.name, dispatches.c.key == rows.table.c.id))
        .where(rows.table.c.status.not_in(rows.terminal), rows.is_dispatched)
    )
    return [
        UnfinishedWork(
            workflow=workflow,
            key=str(row.id),
            kind=str(row.kind),
            status=str(row.status),
            is_in_outbox=row.dispatch_id is not None and row.sent_at is None,
            is_begun=row.invocation_id is not None or row.status != PENDING,
        )
        for row in connection.execute(query)
    ]


def status_of(connection: Connection, key: str) -> str | None:
    """The status of the row with that id, of whichever workflow; None: there is none."""
    for workflow in catalogue.ALL:
        table = workflow.rows.table
        found = connection.execute(select(table.c.status).where(table.c.id == key)).scalar_one_or_none()
        if found is not None:
            return str(found)
    return None


def traceparent(connection: Connection, workflow: Workflow, key: str) -> str:
    """The trace in which the row was recorded; "" for none."""
    table = workflow.rows.table
    return str(connection.execute(select(table.c.traceparent).where(table.c.id == key)).scalar_one_or_none() or "")


def awaiting_instances(connection: Connection, deployment_ids: Collection[str], now: int) -> list[Recipient]:
    """Workflows that wait for instances of these deployments and can continue: they are healthy, failed or stopped."""
    return _recipients(connection, [workflow.instances_changed for workflow in catalogue.ALL], deployment_ids, now)


def awaiting_applied(connection: Connection, now: int) -> list[Recipient]:
    """Workflows that wait for a region to apply a version of the desired state."""
    return _recipients(connection, [workflow.applied for workflow in catalogue.ALL], (), now)


def _recipients(
    connection: Connection, notifications: list[Notification | None], deployment_ids: Collection[str], now: int
) -> list[Recipient]:
    return [
        (notification.handler, key)
        for notification in notifications
        if notification is not None
        for key in notification.keys(connection, deployment_ids, now)
    ]
