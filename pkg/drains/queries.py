"""Statements about drains."""

from sqlalchemy import Connection, exists, insert, select, update

from pkg.db import rows
from pkg.drains.model import Drain, DrainReason
from pkg.drains.tables import drains
from pkg.ids import new_id

_ACTIVE = drains.c.ended_at.is_(None)


def begin(connection: Connection, reason: DrainReason, client: str, now: int) -> Drain:
    """Begins a drain. The client must have no active one for this reason: `find_active` first, in the transaction."""
    made = Drain(new_id("drain"), reason, client, now, None)
    connection.execute(insert(drains).values(id=made.id, reason=reason, client=client, began_at=now))
    return made


def find_active(connection: Connection, reason: DrainReason, client: str) -> Drain | None:
    """The client's active drain for the reason."""
    query = select(drains).where(drains.c.reason == reason, drains.c.client == client, _ACTIVE)
    return rows.one(Drain, connection.execute(query))


def get(connection: Connection, drain_id: str) -> Drain | None:
    """The drain with this id, active or ended."""
    return rows.one(Drain, connection.execute(select(drains).where(drains.c.id == drain_id)))


def end(connection: Connection, drain_id: str, now: int) -> None:
    """Ends it; one that has ended keeps its time. Idempotent."""
    connection.execute(update(drains).where(drains.c.id == drain_id, _ACTIVE).values(ended_at=now))


def active(connection: Connection) -> list[Drain]:
    """Those that hold work back now, oldest first."""
    return rows.every(Drain, connection.execute(select(drains).where(_ACTIVE).order_by(drains.c.began_at, drains.c.id)))


def is_any_active(connection: Connection) -> bool:
    """Whether work is held back now."""
    return bool(connection.execute(select(exists().where(_ACTIVE))).scalar_one())
