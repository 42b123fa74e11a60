"""Promise: an installation is made once, keeps its id, and changes its epoch only on request."""

from pkg.db import Database
from pkg.installation import queries


async def test_it_is_made_once(db: Database) -> None:
    """Every later start finds the first one."""
    assert await db.read(queries.get) is None
    assert await db.read(queries.find_id) is None
    made = await db.write(queries.ensure, 1)
    assert await db.write(queries.ensure, 2) == made
    assert await db.read(queries.find_id) == made.installation_id


async def test_a_new_epoch_keeps_the_id(db: Database) -> None:
    """Cursors of before a restore mean nothing afterwards; labels still do."""
    assert not await db.write(queries.renew_epoch)
    made = await db.write(queries.ensure, 1)
    assert await db.write(queries.renew_epoch)
    found = await db.read(queries.get)
    assert found is not None
    assert found.installation_id == made.installation_id
    assert found.epoch != made.epoch


async def test_a_database_without_a_schema_has_no_installation(empty_database_url: str) -> None:
    """The commands for an operator may meet one."""
    db = Database.open(empty_database_url)
    assert await db.read(queries.find_id) is None
    assert not await db.write(queries.renew_epoch)
    await db.close()
