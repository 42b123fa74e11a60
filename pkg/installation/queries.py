"""The installation row, the desired-state head and the default workspace."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from pkg.db import rows
from pkg.db.tables import desired_head, installation, workspaces
from pkg.ids import new_id

DEFAULT_WORKSPACE_SLUG = "default"


@dataclass(frozen=True)
class Installation:
    """`epoch` changes when the database is restored: cursors of before mean nothing then.

    `draining_since` is set by the supervisor before an upgrade, and taken away by its next start.
    """

    row: int
    installation_id: str
    epoch: str
    created_at: int
    draining_since: int | None = None


def ensure(connection: Connection, build_slots: int, now: int) -> Installation:
    """Makes what every other table leans on. Idempotent; sets the workspace's build slots to the configured number."""
    found = get(connection)
    if found is not None:
        # Where nothing changes nothing is written: a start must work on a full disk.
        connection.execute(
            update(workspaces).where(workspaces.c.build_slots != build_slots).values(build_slots=build_slots)
        )
        return found
    made = Installation(1, new_id("inst"), new_id("inst"), now)
    connection.execute(
        insert(installation).values(row=1, installation_id=made.installation_id, epoch=made.epoch, created_at=now)
    )
    connection.execute(insert(desired_head).values(row=1, version=0, pruned_to=0))
    connection.execute(
        insert(workspaces).values(id=new_id("ws"), slug=DEFAULT_WORKSPACE_SLUG, build_slots=build_slots, created_at=now)
    )
    return made


def get(connection: Connection) -> Installation | None:
    """None before the first `ensure`."""
    return rows.one(Installation, connection.execute(select(installation)))


def is_draining(connection: Connection) -> bool:
    """Whether intents are only recorded for now: an upgrade is near."""
    return connection.execute(select(installation.c.draining_since)).scalar_one_or_none() is not None


def default_workspace_id(connection: Connection) -> str:
    """The workspace of keys that name none. `ensure` must have run."""
    return str(
        connection.execute(select(workspaces.c.id).where(workspaces.c.slug == DEFAULT_WORKSPACE_SLUG)).scalar_one()
    )


def build_slots(connection: Connection, workspace_id: str) -> int:
    """How many builds of the workspace may run at once."""
    return int(connection.execute(select(workspaces.c.build_slots).where(workspaces.c.id == workspace_id)).scalar_one())


def workspace_slug(connection: Connection, workspace_id: str) -> str:
    """The workspace's slug, for hostnames."""
    return str(connection.execute(select(workspaces.c.slug).where(workspaces.c.id == workspace_id)).scalar_one())
