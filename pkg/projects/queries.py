"""Statements about projects."""

from sqlalchemy import Connection, insert, or_, select, update

from pkg.db import rows
from pkg.projects.model import Project
from pkg.projects.tables import projects


def add(connection: Connection, project: Project) -> None:
    """Inserts a project. sqlalchemy's IntegrityError when the workspace has the slug: ask `by_slug` first."""
    connection.execute(
        insert(projects).values(
            id=project.id,
            workspace_id=project.workspace_id,
            slug=project.slug,
            name=project.name,
            created_at=project.created_at,
            updated_at=project.updated_at,
        )
    )


def get(connection: Connection, project_id: str, *, workspace_id: str | None = None) -> Project | None:
    """The project, or None when it does not exist (in that workspace)."""
    query = select(projects).where(projects.c.id == project_id)
    if workspace_id is not None:
        query = query.where(projects.c.workspace_id == workspace_id)
    return rows.one(Project, connection.execute(query))


def by_slug(connection: Connection, workspace_id: str, slug: str) -> Project | None:
    """The workspace's project of that slug, or None."""
    query = select(projects).where(projects.c.workspace_id == workspace_id, projects.c.slug == slug)
    return rows.one(Project, connection.execute(query))


def page(connection: Connection, workspace_id: str, *, after_slug: str = "", limit: int = 50) -> list[Project]:
    """By slug, from the one after `after_slug`; without deleted ones."""
    query = (
        select(projects)
        .where(projects.c.workspace_id == workspace_id, projects.c.slug > after_slug, projects.c.deleted_at.is_(None))
        .order_by(projects.c.slug)
        .limit(limit)
    )
    return rows.every(Project, connection.execute(query))


def ids(connection: Connection) -> set[str]:
    """Of every project, of all workspaces, also of deleted ones."""
    return {str(row.id) for row in connection.execute(select(projects.c.id))}


def rename(connection: Connection, project_id: str, name: str, now: int) -> None:
    """Sets the name for people. Idempotent."""
    connection.execute(update(projects).where(projects.c.id == project_id).values(name=name, updated_at=now))


def claim_depot_project(connection: Connection, project_id: str, now: int, *, lasts_ms: int) -> bool:
    """Whether the caller is the one that makes the project at Depot, until `now + lasts_ms` (epoch ms).

    False: it is stored already, or another claim has not run out.
    """
    claimed = connection.execute(
        update(projects)
        .where(
            projects.c.id == project_id,
            projects.c.depot_project_id.is_(None),
            or_(projects.c.depot_claimed_at.is_(None), projects.c.depot_claimed_at <= now - lasts_ms),
        )
        .values(depot_claimed_at=now)
    )
    return claimed.rowcount == 1


def release_depot_claim(connection: Connection, project_id: str, claimed_at: int) -> None:
    """Ends the claim of that time: another caller may make the project at once. Idempotent."""
    connection.execute(
        update(projects)
        .where(projects.c.id == project_id, projects.c.depot_claimed_at == claimed_at)
        .values(depot_claimed_at=None)
    )


def store_depot_project(connection: Connection, project_id: str, depot_project_id: str) -> str:
    """Stores the id of the project at Depot, unless one is stored; returns the one that is. Ends the claim."""
    connection.execute(
        update(projects)
        .where(projects.c.id == project_id, projects.c.depot_project_id.is_(None))
        .values(depot_project_id=depot_project_id, depot_claimed_at=None)
    )
    return str(connection.execute(select(projects.c.depot_project_id).where(projects.c.id == project_id)).scalar_one())


def forget_depot_project(connection: Connection, project_id: str, depot_project_id: str) -> None:
    """Removes the id, which Depot does not know, unless another one is stored. Idempotent."""
    connection.execute(
        update(projects)
        .where(projects.c.id == project_id, projects.c.depot_project_id == depot_project_id)
        .values(depot_project_id=None)
    )
