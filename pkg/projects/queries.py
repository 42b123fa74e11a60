"""Statements about projects."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from pkg.db import rows
from pkg.db.tables import instances, projects, routes
from pkg.hostnames import Sticky


@dataclass(frozen=True)
class Project:
    """A row of `projects`."""

    id: str
    workspace_id: str
    slug: str
    name: str
    created_at: int
    updated_at: int


@dataclass(frozen=True)
class Live:
    """What a project's own hostname points at.

    Attributes:
        project_id: whose.
        hostname: the project's own.
        deployment_id: that answers there.
        states: of the deployment's instances, as the regions last reported them.
    """

    project_id: str
    hostname: str
    deployment_id: str
    states: tuple[str, ...]


def live(connection: Connection, project_ids: Collection[str]) -> dict[str, Live]:
    """What is live, by project; nothing for a project of which nothing is."""
    pointing = select(routes.c.project_id, routes.c.hostname, routes.c.deployment_id).where(
        routes.c.project_id.in_(project_ids), routes.c.sticky == Sticky.LIVE
    )
    found = connection.execute(pointing).all()
    states: dict[str, list[str]] = defaultdict(list)
    ids = [row.deployment_id for row in found]
    for one in connection.execute(
        select(instances.c.deployment_id, instances.c.state).where(instances.c.deployment_id.in_(ids))
    ):
        states[one.deployment_id].append(one.state)
    return {
        row.project_id: Live(row.project_id, row.hostname, row.deployment_id, tuple(states[row.deployment_id]))
        for row in found
    }


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
