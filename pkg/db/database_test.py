"""Promise: a transaction is all or nothing, and writers queue instead of failing."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import IntegrityError

from pkg.db import Database
from pkg.db.commits.postgresql import PostgresqlWatcher
from pkg.db.testing import PostgresqlServer, fresh_database
from pkg.environments import queries as environments
from pkg.feed.tables import desired_head
from pkg.sqlite.wal import WAL_KEPT_BYTES
from pkg.testing.sample_project import add_sample_project


async def test_migrating_twice_and_at_once_is_harmless(empty_database_url: str) -> None:
    """Services that start together run the migrations once."""
    first, second = (Database.open(empty_database_url) for _ in range(2))
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


async def test_an_error_repeats_no_value(db: Database) -> None:
    """Errors get into logs with the statement; what it was to store may be a secret of a tenant."""
    await db.write(add_sample_project)
    with pytest.raises(IntegrityError) as failed:
        await db.write(environments.set_variable, "env_none", "A", b"hunter2", 1)
    assert "INSERT INTO" in str(failed.value)
    assert "hunter2" not in str(failed.value)
    assert failed.value.hide_parameters


async def test_concurrent_read_modify_writes_lose_nothing(db: Database) -> None:
    """One transaction writes at a time, in all processes together: what it has read still holds when it writes."""
    await db.write(add_sample_project)
    other = Database.open(str(db.engine.url))

    def bump(connection: Connection) -> None:
        version = connection.execute(select(desired_head.c.version)).scalar_one()
        connection.execute(update(desired_head).values(version=version + 1))

    await asyncio.gather(*(d.write(bump) for d in (db, other) for _ in range(30)))
    assert await db.read(lambda c: c.execute(select(desired_head.c.version)).scalar_one()) == 60
    await other.close()


async def test_a_read_has_one_view(db: Database) -> None:
    """Commits of others during a read are not part of it."""
    await db.write(add_sample_project)
    version = select(desired_head.c.version)
    other = Database.open(str(db.engine.url))

    def read_twice(connection: Connection) -> tuple[int, int]:
        first = connection.execute(version).scalar_one()
        other._write(lambda c: c.execute(update(desired_head).values(version=first + 1)))
        return first, connection.execute(version).scalar_one()

    first, second = await db.read(read_twice)
    assert first == second
    assert await db.read(lambda c: c.execute(version).scalar_one()) == first + 1
    await other.close()


async def test_foreign_keys_hold(db: Database) -> None:
    """SQLite enforces references, too."""
    await db.write(add_sample_project)
    with pytest.raises(IntegrityError):
        await db.write(environments.set_variable, "env_none", "A", b"sealed", 1)


async def test_a_log_that_grew_is_cut(tmp_path: Path) -> None:
    """The disk that one large change took besides its rows is free again soon, not at the next restart."""
    db = fresh_database(tmp_path)
    await db.write(lambda connection: connection.exec_driver_sql("CREATE TABLE large AS SELECT randomblob(40000000)"))
    assert (tmp_path / "control.db-wal").stat().st_size > 40_000_000
    for _ in range(2):
        await db.write(add_large)
    assert (tmp_path / "control.db-wal").stat().st_size <= WAL_KEPT_BYTES
    await db.close()


def add_large(connection: Connection) -> None:
    connection.exec_driver_sql("INSERT INTO large VALUES ('more')")


async def test_a_server_that_vanished_is_noticed(postgresql_server: PostgresqlServer) -> None:
    """No connection waits for hours for a PostgreSQL whose machine or network is gone; nor does the listening one."""
    with postgresql_server.database() as url:
        db = Database.open(url)
        with db.engine.connect() as connection:
            writer = connection.connection.driver_connection
            assert isinstance(writer, psycopg.Connection)
            listener = await PostgresqlWatcher(url)._listening()
            for used in (writer, listener):
                parameters = used.info.get_parameters()
                silence_s = int(parameters["keepalives_idle"]) + int(parameters["keepalives_interval"]) * int(
                    parameters["keepalives_count"]
                )
                assert max(silence_s, int(parameters["tcp_user_timeout"]) / 1000) <= 60
            await listener.close()
        await db.close()
