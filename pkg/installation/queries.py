"""Statements about the installation row; the head of the feed is made with it."""

from sqlalchemy import Connection, insert, inspect, select, update

from pkg.db import rows
from pkg.feed.tables import desired_head
from pkg.ids import new_id
from pkg.installation.model import Installation
from pkg.installation.tables import installation


def ensure(connection: Connection, now: int) -> Installation:
    """Makes the installation and the head of the feed at the first start. Idempotent."""
    found = get(connection)
    if found is not None:
        return found
    made = Installation(1, new_id("inst"), new_id("inst"), now)
    connection.execute(
        insert(installation).values(row=1, installation_id=made.installation_id, epoch=made.epoch, created_at=now)
    )
    connection.execute(insert(desired_head).values(row=1, version=0, pruned_to=0))
    return made


def get(connection: Connection) -> Installation | None:
    """None before the first `ensure`."""
    return rows.one(Installation, connection.execute(select(installation)))


def find_id(connection: Connection) -> str | None:
    """The installation's id, also in a database of an older schema; None before the first `ensure`."""
    if not inspect(connection).has_table(installation.name):
        return None
    found = connection.execute(select(installation.c.installation_id)).scalar_one_or_none()
    return None if found is None else str(found)


def renew_epoch(connection: Connection) -> bool:
    """Gives it another epoch; False before the first `ensure`. Also in a database of an older schema."""
    if not inspect(connection).has_table(installation.name):
        return False
    return connection.execute(update(installation).values(epoch=new_id("inst"))).rowcount == 1
