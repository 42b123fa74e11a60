"""Statements about the feed: recording, reading and pruning changes."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from pkg.db import rows
from pkg.desired.capabilities import ChangeKind
from pkg.feed.tables import desired_changes, desired_head


@dataclass(frozen=True)
class Change:
    """A row of `desired_changes`. `kind` is the name of a `ChangeKind`."""

    version: int
    kind: str
    key: str
    region: str | None
    created_at: int


@dataclass(frozen=True)
class Head:
    """The newest version, and the version up to which changes were pruned."""

    row: int
    version: int
    pruned_to: int


def record(connection: Connection, kind: ChangeKind, key: str, now: int, *, region: str | None = None) -> int:
    """Numbers a change made in this transaction; `region` None: it concerns every region. Returns its version."""
    version = int(
        connection.execute(
            update(desired_head).values(version=desired_head.c.version + 1).returning(desired_head.c.version)
        ).scalar_one()
    )
    connection.execute(
        insert(desired_changes).values(version=version, kind=kind.name, key=key, region=region, created_at=now)
    )
    return version


def head(connection: Connection) -> Head:
    """Where the feed stands."""
    found = rows.one(Head, connection.execute(select(desired_head)))
    assert found is not None
    return found


def after(connection: Connection, region: str, version: int, limit: int = 500) -> list[Change]:
    """The changes that concern `region` after `version`, in order."""
    query = (
        select(desired_changes)
        .where(
            desired_changes.c.version > version,
            or_(desired_changes.c.region.is_(None), desired_changes.c.region == region),
        )
        .order_by(desired_changes.c.version)
        .limit(limit)
    )
    return rows.every(Change, connection.execute(query))


def committed_at(connection: Connection, version: int) -> int | None:
    """When the change was recorded, epoch ms; None: it was pruned."""
    query = select(desired_changes.c.created_at).where(desired_changes.c.version == version)
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else int(found)


def prune(connection: Connection, *, before: int) -> int:
    """Removes changes recorded before that time; a cursor behind them gets a snapshot. Returns how many."""
    newest = connection.execute(
        select(func.max(desired_changes.c.version)).where(desired_changes.c.created_at < before)
    ).scalar_one_or_none()
    if newest is None:
        return 0
    gone = connection.execute(delete(desired_changes).where(desired_changes.c.version <= newest)).rowcount
    connection.execute(update(desired_head).values(pruned_to=newest))
    return gone
