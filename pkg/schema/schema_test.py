"""Promise: the migrations build the schema that the domains declare."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from pkg.db import Database
from pkg.schema import metadata


async def test_migrations_make_exactly_the_declared_tables(db: Database) -> None:
    """The schema that migrations build is the one that the domains' `tables` declare."""

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await db.read(differences) == []
