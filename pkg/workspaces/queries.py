"""Statements about workspaces."""

from sqlalchemy import Connection, insert, select, update

from pkg.ids import new_id
from pkg.workspaces.tables import workspaces

DEFAULT_SLUG = "default"
DEFAULT_BUILD_SLOTS = 2


def ensure_default(connection: Connection, now: int, *, build_slots: int | None = None) -> str:
    """The id of the workspace of keys that name none, which is made if there is none yet. Idempotent.

    `build_slots`: how many builds it may run at once. None: a new one gets `DEFAULT_BUILD_SLOTS`, an existing one keeps
    what it has.
    """
    known = connection.execute(select(workspaces.c.id).where(workspaces.c.slug == DEFAULT_SLUG)).scalar_one_or_none()
    if known is not None:
        if build_slots is not None:
            set_build_slots(connection, known, build_slots)
        return str(known)
    made = new_id("ws")
    slots = DEFAULT_BUILD_SLOTS if build_slots is None else build_slots
    connection.execute(insert(workspaces).values(id=made, slug=DEFAULT_SLUG, build_slots=slots, created_at=now))
    return made


def set_build_slots(connection: Connection, workspace_id: str, build_slots: int) -> None:
    """Sets how many builds of the workspace run at once. Writes nothing if unchanged: a full disk is no error."""
    connection.execute(
        update(workspaces)
        .where(workspaces.c.id == workspace_id, workspaces.c.build_slots != build_slots)
        .values(build_slots=build_slots)
    )


def default_id(connection: Connection) -> str:
    """The workspace of keys that name none. `ensure_default` must have run."""
    return str(connection.execute(select(workspaces.c.id).where(workspaces.c.slug == DEFAULT_SLUG)).scalar_one())


def build_slots(connection: Connection, workspace_id: str) -> int:
    """How many builds of the workspace may run at once."""
    return int(connection.execute(select(workspaces.c.build_slots).where(workspaces.c.id == workspace_id)).scalar_one())


def are_several(connection: Connection) -> bool:
    """Whether there is more than one."""
    return len(connection.execute(select(workspaces.c.id).limit(2)).all()) > 1


def slug_of(connection: Connection, workspace_id: str) -> str:
    """The workspace's slug, for hostnames."""
    return str(connection.execute(select(workspaces.c.slug).where(workspaces.c.id == workspace_id)).scalar_one())
