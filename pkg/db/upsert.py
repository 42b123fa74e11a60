"""INSERT with a conflict clause, which both databases have and SQLAlchemy has once for each."""

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT with `on_conflict_do_update` and `on_conflict_do_nothing`.

    Add `.returning()` to learn whether a row was written: PostgreSQL's driver gives no count of inserted rows.
    """
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
