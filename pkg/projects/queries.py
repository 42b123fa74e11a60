"""Statements about projects."""

from sqlalchemy import Connection, insert, select, update

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
    """By slug, from the one after `after_slug`."""
    query = (
        select(projects)
        .where(projects.c.workspace_id == workspace_id, projects.c.slug > after_slug)
        .order_by(projects.c.slug)
        .limit(limit)
    )
    return rows.every(Project, connection.execute(query))


def rename(connection: Connection, project_id: str, name: str, now: int) -> None:
    """Sets the name for people. Idempotent."""
    connection.execute(update(projects).where(projects.c.id == project_id).values(name=name, updated_at=now))
