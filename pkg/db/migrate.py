"""Alembic, run by the services themselves at start. Loaded only when there is something to migrate: it is large."""

import re
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from pkg.config import ConfigError

_MIGRATIONS = Path(__file__).parent / "migrations"
_REVISION = re.compile(r'^revision = "(\w+)"$', re.MULTILINE)
_FOLLOWS = re.compile(r'^down_revision = "(\w+)"$', re.MULTILINE)


class NewerError(ConfigError):
    """A newer version has upgraded the database; nothing was changed. Starting again does not help."""

    def __init__(self, database: str, found: str) -> None:
        super().__init__(
            "database.newer",
            f"the database {database} is at revision {found!r}, which this version does not know: a newer version has "
            "upgraded it. Start that version again, or restore a backup of before the upgrade: docs/operating.md, "
            "Backup and restore. Apps go on meanwhile.",
        )


def upgrade(engine: Engine) -> None:
    """Brings the schema to the newest revision. Idempotent; concurrent callers run one after the other.

    The lock of write transactions holds callers apart, see `pkg.db.engine`.

    Raises:
        NewerError: the schema is of a newer version.
    """
    with engine.connect().execution_options(sealift_read_only=True) as connection:
        if check_known(connection) == newest():
            return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check_known(connection: Connection) -> str | None:
    """The revision of the schema, None when there is none. Raises NewerError when this version does not know it."""
    found = _revision(connection)
    if found is not None and found not in _revisions(_steps()):
        raise NewerError(connection.engine.url.database or "", found)
    return found


def newest() -> str:
    """The revision that no other one follows, read from the files' first lines.

    Raises:
        ValueError: there are several, which is how two branches that each added one look once they are merged.
    """
    steps = _steps()
    followed = {found for step in steps for found in _FOLLOWS.findall(step)}
    heads = sorted(_revisions(steps) - followed)
    if len(heads) != 1:
        raise ValueError(f"migrations end in {heads}: let the later one name the other as its down_revision")
    return heads[0]


def revision(engine: Engine) -> str | None:
    """The revision of a database's schema, None when it has none."""
    with engine.connect().execution_options(sealift_read_only=True) as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _steps() -> list[str]:
    return [step.read_text(encoding="utf-8") for step in (_MIGRATIONS / "versions").glob("m*.py")]


def _revisions(steps: list[str]) -> set[str]:
    return {found for step in steps for found in _REVISION.findall(step)}
