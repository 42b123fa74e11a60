"""A damaged file of build logs costs the old logs, never a service."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from pkg.errors import Unavailable
from pkg.telemetry import BuildEvent, BuildLine, LogStream
from pkg.telemetry.sqlite import SqliteTelemetry
from pkg.telemetry.sqlite.damage import KEPT, damaged_files
from pkg.testing.wait import WAIT_S


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.db"


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteTelemetry]:
    store = SqliteTelemetry(path)
    try:
        yield store
    finally:
        await store.close()


def line(text: str, seq: int = 1) -> BuildEvent:
    return BuildEvent(1, seq, 1000, BuildLine("s1", LogStream.STDOUT, text))


async def used(path: Path, lines: int = 500) -> None:
    async with opened(path) as store:
        await store.builds.append("bld_old", [line(f"{n} {'x' * 200}", n) for n in range(1, lines + 1)])


def sql(path: Path, text: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(text)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def damaged_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 8000)


def other_columns(path: Path) -> None:
    path.unlink()
    sql(path, "CREATE TABLE build_events (id TEXT)")


def view_instead(path: Path) -> None:
    path.unlink()
    sql(path, "CREATE TABLE x (y TEXT); CREATE INDEX build_heads ON x (y)")


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").write_text("x")


def link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "gone" / "telemetry.db")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def journal_is_a_directory(path: Path) -> None:
    path.with_name("telemetry.db-wal").mkdir()


DAMAGES = [
    truncated, garbage, damaged_page, other_columns, view_instead, directory, link_to_nothing, pipe,
    journal_is_a_directory,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda fn: fn.__name__)
async def test_a_damaged_file_is_set_aside(path: Path, damage: Callable[[Path], None]) -> None:
    """Promise: whatever lies there instead of build logs is kept under another name, and a new store works."""
    await used(path)
    damage(path)
    async with opened(path) as store:
        await store.builds.append("bld_old", [line("meets damage that is in the middle of the file", 501)])
        await store.builds.append("bld_new", [line("one")])
        assert [event.event for event in await store.builds.read("bld_new")] == [line("one").event]
    assert len(damaged_files(path)) == 1
    assert os.path.lexists(damaged_files(path)[0])


async def until_stored(store: SqliteTelemetry, build_id: str) -> None:
    """The sink of a build asks again likewise."""
    async with asyncio.timeout(WAIT_S):
        while True:
            with contextlib.suppress(Unavailable):
                await store.builds.append(build_id, [line("after")])
                return


async def test_damage_while_in_use_is_seen_by_every_process(path: Path) -> None:
    """Promise: two processes that use the file end up with the same new one, which one of them has made."""
    await used(path)
    async with opened(path) as api, opened(path) as worker:
        assert len(await api.builds.read("bld_old")) == 500
        await worker.builds.append("bld_old", [line("still well", 501)])
        os.truncate(path.with_name("telemetry.db-wal"), 0)
        os.truncate(path, 0)
        await asyncio.gather(until_stored(api, "bld_a"), until_stored(worker, "bld_b"))
        for store in (api, worker):
            assert len(await store.builds.read("bld_a")) == len(await store.builds.read("bld_b")) == 1


async def test_a_deleted_file_is_made_again(path: Path) -> None:
    """Promise: lines are never written to a file that other processes cannot open."""
    await used(path)
    async with opened(path) as api, opened(path) as worker:
        await worker.builds.append("bld_old", [line("x", 501)])
        for file in path.parent.glob("telemetry.db*"):
            file.unlink()
        await worker.builds.append("bld_new", [line("y")])
        assert len(await api.builds.read("bld_new")) == 1


async def test_a_locked_file_is_not_damaged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: what passes by itself is Unavailable with the path, stays where it is, and works again afterwards."""
    await used(path)
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, **(kwargs | {"timeout": 0.1})))
    with contextlib.closing(connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        async with opened(path) as store:
            with pytest.raises(Unavailable, match=str(path)) as caught:
                await store.builds.append("bld_new", [line("x")])
            assert caught.value.code == "telemetry.unavailable"
            holder.execute("ROLLBACK")
            holder.close()
            await store.builds.append("bld_new", [line("x")])
            assert await store.builds.read("bld_new") == [line("x")]
    assert damaged_files(path) == []


async def test_damaged_files_are_bounded(path: Path) -> None:
    """Promise: a disk that damages every file keeps three of them, not all."""
    for _ in range(KEPT + 2):
        garbage(path)
        async with opened(path) as store:
            await store.builds.append("bld_new", [line("x")])
    assert len(damaged_files(path)) == KEPT
