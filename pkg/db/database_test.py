"""Promise: a transaction is all or nothing, writers queue instead of failing, and every commit is noticed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, select, text, update
from sqlalchemy.exc import OperationalError

from pkg.db import Database
from pkg.db.testing import fresh_database
from pkg.feed.tables import desired_head
from pkg.testing.sample_project import add_sample_project


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await fresh_database(tmp_path)
    yield database
    await database.close()


async def test_migrating_twice_and_at_once_is_harmless(tmp_path: Path) -> None:
    """Services that start together run the migrations once."""
    first, second = (Database.open(f"sqlite:///{tmp_path}/control.db") for _ in range(2))
    await asyncio.gather(first.migrate(), second.migrate())
    await first.close()
    await second.close()


async def test_a_raising_write_leaves_nothing(db: Database) -> None:
    """A failed transaction changes nothing."""

    def half(connection: Connection) -> None:
        add_sample_project(connection)
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError):
        await db.write(half)
    assert await db.read(lambda c: c.execute(select(desired_head)).first()) is None


async def test_reads_cannot_write(db: Database) -> None:
    """Concurrent read-modify-writes of several processes lose nothing: each write begins IMMEDIATE."""
    await db.write(add_sample_project)
    other = Database.open(str(db.engine.url))

    def bump(connection: Connection) -> None:
        version = connection.execute(select(desired_head.c.version)).scalar_one()
        connection.execute(update(desired_head).values(version=version + 1))

    await asyncio.gather(*(d.write(bump) for d in (db, other) for _ in range(30)))
    assert await db.read(lambda c: c.execute(select(desired_head.c.version)).scalar_one()) == 60
    await other.close()


async def test_a_commit_of_another_process_is_noticed(db: Database) -> None:
    """A watcher wakes for commits that it did not make, within a fraction of a second."""
    await db.write(add_sample_project)
    await db.changed(db.position(), 0.05)
    position = db.position()
    stranger = create_engine(str(db.engine.url))
    waiting = asyncio.create_task(db.changed(position, 5))
    with stranger.begin() as connection:
        connection.execute(text("UPDATE desired_head SET version = 7"))
    stranger.dispose()
    assert await waiting > position


async def test_a_look_that_fails_is_made_again(db: Database) -> None:
    """A hiccup of the disk while somebody waits ends neither the wait nor what he waits for."""
    await db.write(add_sample_project)
    await db.changed(db.position(), 0.05)
    position = db.position()
    assert db._bell._connection is not None
    db._bell._connection.close()  # every look with it fails from now on
    waiting = asyncio.create_task(db.changed(position, 5))
    stranger = create_engine(str(db.engine.url))
    with stranger.begin() as connection:
        connection.execute(text("UPDATE desired_head SET version = 7"))
    stranger.dispose()
    assert await waiting > position


async def test_own_commits_are_noticed_at_once(db: Database) -> None:
    """A write rings the bell of its own process without any polling."""
    await db.write(add_sample_project)
    await db.changed(db.position(), 0.05)
    position = db.position()
    await db.write(lambda c: c.execute(update(desired_head).values(version=9)))
    assert await db.changed(position, 0) > position


async def test_waiting_is_bounded(db: Database) -> None:
    """Without a commit, `changed` returns where it stood."""
    await db.write(add_sample_project)
    position = db.position()
    while (moved := await db.changed(position, 0.1)) != position:
        position = moved
    assert await db.changed(position, 0.05) == position


async def test_foreign_keys_hold(db: Database) -> None:
    """SQLite enforces references, too."""
    from sqlalchemy.exc import IntegrityError

    with pytest.raises((IntegrityError, OperationalError)):
        await db.write(
            lambda c: c.execute(text("INSERT INTO environment_variables VALUES ('env_none', 'A', x'00', 1, false)"))
        )
