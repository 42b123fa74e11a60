"""Alembic, run by the services themselves at start."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

_MIGRATIONS = Path(__file__).parent / "migrations"
_PG_LOCK = 7_204_119  # any number that nothing else in the database uses


def upgrade(engine: Engine) -> None:
    """Brings the schema to the newest revision. Idempotent; concurrent callers run one after the other.

    SQLite: the write transaction is the lock. PostgreSQL: an advisory lock.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.connect() as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _PG_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
