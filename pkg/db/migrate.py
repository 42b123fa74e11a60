"""Alembic, run by the services themselves at start. Loaded only when there is something to migrate: it is large."""

import re
from pathlib import Path

from sqlalchemy import Engine, inspect, text

_MIGRATIONS = Path(__file__).parent / "migrations"
_REVISION = re.compile(r'^revision = "(\w+)"$', re.MULTILINE)
_FOLLOWS = re.compile(r'^down_revision = "(\w+)"$', re.MULTILINE)


def upgrade(engine: Engine) -> None:
    """Brings the schema to the newest revision. Idempotent; concurrent callers run one after the other.

    The lock of write transactions holds callers apart, see `pkg.db.engine`.
    """
    if revision(engine) == newest():
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def newest() -> str:
    """The revision that no other one follows, read from the files' first lines.

    Raises:
        ValueError: there are several, which is how two branches that each added one look once they are merged.
    """
    steps = [step.read_text(encoding="utf-8") for step in (_MIGRATIONS / "versions").glob("m*.py")]
    followed = {found for step in steps for found in _FOLLOWS.findall(step)}
    heads: list[str] = sorted({found for step in steps for found in _REVISION.findall(step)} - followed)
    if len(heads) != 1:
        raise ValueError(f"migrations end in {heads}: let the later one name the other as its down_revision")
    return heads[0]


def revision(engine: Engine) -> str | None:
    """The revision of a database's schema, None when it has none."""
    with engine.connect().execution_options(sealift_read_only=True) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return found
