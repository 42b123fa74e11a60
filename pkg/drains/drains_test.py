"""Promise: work is held back while any drain is active, and a database of before keeps its drain."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import IntegrityError

from pkg.db import Database, create_engine, migrate
from pkg.drains import Drain, DrainReason, queries


async def test_one_active_drain_for_a_reason_and_client(db: Database) -> None:
    """An end may be repeated: its time stays. Two at once for the same reason and client can't be recorded."""
    assert not await db.read(queries.is_any_active)
    first = await db.write(queries.begin, DrainReason.UPGRADE, "supervisor", 1)
    with pytest.raises(IntegrityError):
        await db.write(queries.begin, DrainReason.UPGRADE, "supervisor", 2)
    assert await db.read(queries.find_active, DrainReason.UPGRADE, "supervisor") == first
    other = await db.write(queries.begin, DrainReason.OPERATOR, "supervisor", 3)
    assert await db.read(queries.active) == [first, other]
    for now in (4, 5):
        await db.write(queries.end, first.id, now)
    assert await db.read(queries.get, first.id) == Drain(first.id, DrainReason.UPGRADE, "supervisor", 1, 4)
    assert await db.read(queries.get, "drain_none") is None
    assert await db.read(queries.is_any_active)
    await db.write(queries.end, other.id, 6)
    assert not await db.read(queries.is_any_active)
    again = await db.write(queries.begin, DrainReason.UPGRADE, "supervisor", 7)
    assert await db.read(queries.active) == [again]


@pytest.mark.parametrize("since", [None, 7])
def test_a_mark_of_before_becomes_the_supervisors_drain(empty_database_url: str, since: int | None) -> None:
    """An upgrade that was drained for by older code is ended by the first start of this one, as it was promised."""
    engine = create_engine(empty_database_url)
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
        value = "NULL" if since is None else since
        connection.exec_driver_sql(f"INSERT INTO installation VALUES (1, 'i', 'e', 1, {value})")
    migrate.upgrade(engine)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT reason, client, began_at, ended_at FROM drains").all()
        kept = connection.exec_driver_sql("SELECT installation_id, epoch FROM installation").one()
    engine.dispose()
    assert [tuple(row) for row in found] == ([] if since is None else [("upgrade", "supervisor", since, None)])
    assert tuple(kept) == ("i", "e")
