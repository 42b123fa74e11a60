"""A real database for tests."""

from pathlib import Path

from pkg.db.database import Database


async def fresh_database(directory: Path) -> Database:
    """An empty migrated SQLite database in `directory`. Close it."""
    db = Database.open(f"sqlite:///{directory}/control.db")
    await db.migrate()
    return db
