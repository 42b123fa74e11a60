"""Statements about workspaces."""

from sqlalchemy import Connection, insert, select, update

from pkg.ids import new_id
from pkg.workspaces.tables import workspaces

DEFAULT_SLUG = "default"


def add_default(connection: Connection, build_slots: int, now: int) -> None:
    """Inserts the workspace of keys that name none."""
    connection.execute(
        insert(workspaces).values(id=new_id("ws"), slug=DEFAULT_SLUG, build_slots=build_slots, created_at=now)
    )


def set_build_slots(connection: Connection, build_slots: int) -> None:
    """Sets the number of every workspace that has another. Idempotent."""
    connection.execute(
        update(workspaces).where(workspaces.c.build_slots != build_slots).values(build_slots=build_slots)
    )


def default_id(connection: Connection) -> str:
    """The workspace of keys that name none. `pkg.installation.ensure` must have run."""
    return str(connection.execute(select(workspaces.c.id).where(workspaces.c.slug == DEFAULT_SLUG)).scalar_one())


def build_slots(connection: Connection, workspace_id: str) -> int:
    """How many builds of the workspace may run at once."""
    return int(connection.execute(select(workspaces.c.build_slots).where(workspaces.c.id == workspace_id)).scalar_one())


def slug_of(connection: Connection, workspace_id: str) -> str:
    """The workspace's slug, for hostnames."""
    return str(connection.execute(select(workspaces.c.slug).where(workspaces.c.id == workspace_id)).scalar_one())
