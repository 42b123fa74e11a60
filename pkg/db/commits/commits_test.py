"""Promise: a waiter is woken by the commit of any process, and never waits longer than its timeout."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text, update

from pkg.db import Database
from pkg.db.commits import CommitNotifier, CommitWatcher
from pkg.feed.tables import desired_head
from pkg.testing.sample_project import add_sample_project
from pkg.testing.wait import WAIT_S


@pytest.fixture
async def db(db: Database) -> Database:
    """With a sample project, and with everything seen that was committed so far."""
    await db.write(add_sample_project)
    await settled(db)
    return db


@pytest.fixture
async def stranger(db: Database) -> AsyncIterator[Database]:
    """The same database, as another process has it."""
    other = Database.open(str(db.engine.url))
    yield other
    await other.close()


async def settled(db: Database) -> int:
    """The position once no more commits are announced."""
    position = db.commits.position
    while (moved := await db.commits.wait(position, 0.2)) != position:
        position = moved
    return position


async def bump(db: Database) -> None:
    await db.write(lambda c: c.execute(update(desired_head).values(version=desired_head.c.version + 1)))


async def test_a_commit_of_another_process_is_noticed(db: Database, stranger: Database) -> None:
    """A watcher wakes for commits that it did not make."""
    position = db.commits.position
    waiting = asyncio.create_task(db.commits.wait(position, WAIT_S))
    await asyncio.sleep(0)
    await bump(stranger)
    assert await waiting > position


async def test_a_commit_while_nobody_waited_is_noticed(
    db: Database, stranger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watching may pause between two waits: what was committed meanwhile ends the next one."""
    monkeypatch.setattr("pkg.db.commits.notifier.LINGER_S", 0.01)
    position = await settled(db)
    assert db.commits._watching is not None
    await asyncio.wait_for(asyncio.shield(db.commits._watching), WAIT_S)
    await bump(stranger)
    assert await db.commits.wait(position, WAIT_S) > position


async def test_a_watcher_that_fails_watches_again(
    db: Database, stranger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short failure of the disk or the server ends neither the wait nor the watching."""
    monkeypatch.setattr("pkg.db.commits.postgresql.RETRY_S", 0.01)
    position = db.commits.position
    waiting = asyncio.create_task(db.commits.wait(position, WAIT_S))
    if db.engine.dialect.name == "sqlite":
        db._watcher._connection.close()  # type: ignore[attr-defined]  # every poll with it fails from now on
    else:
        kill = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        await stranger.read(lambda c: c.execute(kill).all())
    await bump(stranger)
    assert await waiting > position


async def test_own_commits_are_noticed_at_once(db: Database) -> None:
    """A write wakes those who wait in its own process without any watching."""
    position = db.commits.position
    await bump(db)
    assert await db.commits.wait(position, 0) > position


async def test_a_write_that_changes_nothing_is_not_told_to_others(db: Database, stranger: Database) -> None:
    """Two processes that look again at each commit do not wake each other for ever."""
    position = db.commits.position
    await stranger.check_writes()
    assert await db.commits.wait(position, 0.2) == position


async def test_waiting_is_bounded(db: Database) -> None:
    """Without a commit, `wait` returns where it stood."""
    position = db.commits.position
    assert await db.commits.wait(position, 0.05) == position


class FileWatcher:
    """Another kind of database: one whose writers touch a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = -1

    async def next_commit(self) -> None:
        while self._path.stat().st_size == self._seen:  # noqa: ASYNC110 - another process writes
            await asyncio.sleep(0.005)
        self._seen = self._path.stat().st_size

    def announce(self, connection: Connection) -> None:
        with self._path.open("ab") as file:
            file.write(b".")

    def pause(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


async def test_another_watcher_needs_nothing_else(tmp_path: Path) -> None:
    """A database of another kind brings a `CommitWatcher`; who waits does not change."""
    (tmp_path / "commits").touch()
    ours: CommitWatcher = FileWatcher(tmp_path / "commits")
    commits, theirs = CommitNotifier(ours), FileWatcher(tmp_path / "commits")
    position = await commits.wait(commits.position, 5)  # what happened before is not known
    waiting = asyncio.create_task(commits.wait(position, 5))
    with create_engine("sqlite://").connect() as connection:
        theirs.announce(connection)
    assert await waiting > position
    await commits.close()
