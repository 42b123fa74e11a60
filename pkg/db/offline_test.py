"""Promise: a change that needs the database alone is made alone, or not at all, on both databases."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from pkg.db import Database, offline


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a lock that another test holds."""
    monkeypatch.setattr(offline, "BUSY_TIMEOUT_MS", 50)


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Database]:
    """Somebody who has the database open, idle."""
    opened = Database.open(database_url)
    await opened.read(_count)
    yield opened
    await opened.close()


def _count(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM workspaces").scalar_one())


def _add(connection: Connection) -> None:
    connection.exec_driver_sql(
        "INSERT INTO workspaces (id, slug, build_slots, created_at) VALUES ('ws_1', 'one', 1, 1)"
    )


async def test_not_beside_an_idle_service(database_url: str, service: Database) -> None:
    """One idle connection is enough for a refusal; reading and checking still work next to it."""
    with pytest.raises(offline.InUseError, match=r"open$|other connections"):
        offline.write_alone(database_url, _add)
    assert offline.read(database_url, _count) == 0
    assert offline.problem(database_url) == ""
    await service.close()
    offline.write_alone(database_url, _add)
    assert offline.read(database_url, _count) == 1


def test_a_failed_change_leaves_nothing(database_url: str) -> None:
    """The transaction is whole; the next one is not held up by it."""

    def fails(connection: Connection) -> None:
        _add(connection)
        raise ValueError("too late")

    with pytest.raises(ValueError, match="too late"):
        offline.write_alone(database_url, fails)
    assert offline.read(database_url, _count) == 0
    offline.write_alone(database_url, _add)


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    """A SQLite file is made by the first start; a PostgreSQL that does not answer is a problem."""
    assert offline.problem(f"sqlite:///{tmp_path}/none.db") == ""
    assert not (tmp_path / "none.db").exists()
    problem = offline.problem(f"postgresql+psycopg://sealift@/none?host={tmp_path}")
    assert problem.startswith("the database does not answer: ")
