"""Statements about deletions. Every write names the statuses it may start from; False: it has ended."""

from typing import Any

from sqlalchemy import Connection, insert, select, update

from pkg.db import rows
from pkg.deletions.model import ACTIVE, Deletion, DeletionStatus, DeletionStep
from pkg.deletions.tables import deletions
from pkg.deployments.tables import deployments
from pkg.environments.tables import environments
from pkg.projects.tables import projects

MAX_TEXT_CHARS = 2048


def add(connection: Connection, values: dict[str, Any]) -> None:
    """Inserts a row; `values` holds the columns of `deletions` that differ from those of a new one."""
    new = {"status": DeletionStatus.PENDING, "step": DeletionStep.QUEUED, "waits_for": "", "skips_regions": False}
    connection.execute(insert(deletions).values(**new, notices_json=[], **values))


def get(connection: Connection, deletion_id: str, *, workspace_id: str | None = None) -> Deletion | None:
    """The deletion, or None when it does not exist (in that workspace)."""
    query = select(deletions).where(deletions.c.id == deletion_id)
    if workspace_id is not None:
        query = query.where(deletions.c.workspace_id == workspace_id)
    return rows.one(Deletion, connection.execute(query))


def active(connection: Connection, *, project_id: str | None = None) -> list[Deletion]:
    """Those that have not ended (of the project), the oldest first."""
    query = select(deletions).where(deletions.c.status.in_(ACTIVE)).order_by(deletions.c.id)
    if project_id is not None:
        query = query.where(deletions.c.project_id == project_id)
    return rows.every(Deletion, connection.execute(query))


def begin(connection: Connection, deletion_id: str) -> bool:
    """Marks it running. False: it has started, or ended, already."""
    statement = (
        update(deletions)
        .where(deletions.c.id == deletion_id, deletions.c.status == DeletionStatus.PENDING)
        .values(status=DeletionStatus.RUNNING)
    )
    return connection.execute(statement).rowcount == 1


def note_progress(connection: Connection, deletion_id: str, step: DeletionStep, waits_for: str = "") -> None:
    """Keeps what it is at, and what it waits for. Idempotent; writes only what differs."""
    text = waits_for[:MAX_TEXT_CHARS]
    connection.execute(
        update(deletions)
        .where(
            deletions.c.id == deletion_id,
            deletions.c.status.in_(ACTIVE),
            (deletions.c.step != step) | (deletions.c.waits_for != text),
        )
        .values(step=step, waits_for=text)
    )


def add_notice(connection: Connection, deletion_id: str, notice: str) -> None:
    """Appends a notice for the user. Idempotent: the same text is kept once."""
    found = get(connection, deletion_id)
    if found is not None and notice not in found.notices_json:
        connection.execute(
            update(deletions)
            .where(deletions.c.id == deletion_id)
            .values(notices_json=[*found.notices_json, notice[:MAX_TEXT_CHARS]])
        )


def skip_regions(connection: Connection, deletion_id: str) -> bool:
    """It goes on without regions that do not confirm. False: it does already, or has ended."""
    statement = (
        update(deletions)
        .where(deletions.c.id == deletion_id, deletions.c.status.in_(ACTIVE), deletions.c.skips_regions.is_(False))
        .values(skips_regions=True)
    )
    return connection.execute(statement).rowcount == 1


def end(
    connection: Connection,
    deletion_id: str,
    status: DeletionStatus,
    now: int,
    *,
    error_code: str | None = None,
    error_message: str | None = None,
) -> bool:
    """Ends it. One that fails gives back what it has marked and not deleted. False: it had ended already."""
    ended = connection.execute(
        update(deletions)
        .where(deletions.c.id == deletion_id, deletions.c.status.in_(ACTIVE))
        .values(status=status, ended_at=now, waits_for="", error_code=error_code, error_message=error_message)
    )
    if ended.rowcount and status is DeletionStatus.FAILED:
        for table in (deployments, environments, projects):
            connection.execute(
                update(table)
                .where(table.c.deletion_id == deletion_id, table.c.deleted_at.is_(None))
                .values(deletion_id=None)
            )
    return ended.rowcount == 1


def mark(connection: Connection, deletion: Deletion) -> None:
    """Marks all that is to be deleted and is not marked by an earlier deletion. Idempotent."""
    match deletion.kind.value:
        case "project":
            concerned = [
                (projects, projects.c.id == deletion.project_id),
                (environments, environments.c.project_id == deletion.project_id),
                (deployments, deployments.c.project_id == deletion.project_id),
            ]
        case "environment":
            concerned = [
                (environments, environments.c.id == deletion.environment_id),
                (deployments, deployments.c.environment_id == deletion.environment_id),
            ]
        case _:
            concerned = [(deployments, deployments.c.id == deletion.deployment_id)]
    for table, of_it in concerned:
        statement = update(table).where(of_it, table.c.deletion_id.is_(None))
        connection.execute(statement.values(deletion_id=deletion.id))
