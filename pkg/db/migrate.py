"""Alembic, run by the services themselves at start. Loaded only when there is something to migrate: it is large."""

from pathlib import Path

from sqlalchemy import Engine, inspect, text

_MIGRATIONS = Path(__file__).parent / "migrations"
_PG_LOCK = 7_204_119  # any number that nothing else in the database uses


def upgrade(engine: Engine) -> None:
    """Brings the schema to the newest revision. Idempotent; concurrent callers run one after the other.

    SQLite: the write transaction is the lock. PostgreSQL: an advisory lock.
    """
    if revision(engine) == newest():
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.connect() as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _PG_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def newest() -> str:
    """The newest revision that there is a step to: the number in the name of its file."""
    return max(step.name for step in (_MIGRATIONS / "versions").glob("m*.py"))[1:5]


def revision(engine: Engine) -> str | None:
    """The revision of a database's schema, None when it has none."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return found
