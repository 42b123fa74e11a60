"""The SQLite store passes the tests of every store, and keeps what a file of several processes promises."""

import asyncio
import multiprocessing
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from pkg.errors import Unavailable
from pkg.sqlite.wal import WAL_KEPT_BYTES
from pkg.telemetry import BuildEvent, BuildLine, BuildStep, LogStream, StepState
from pkg.telemetry.contract import TelemetryContract, access, line, texts
from pkg.telemetry.sqlite import SqliteTelemetry

# What versions wrote in which the store gave the numbers.
OLDER_FILE = """
PRAGMA journal_mode = WAL;
CREATE TABLE build_heads (
  build_id TEXT PRIMARY KEY, last_seq INTEGER NOT NULL, attempt INTEGER NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE build_events (
  build_id TEXT NOT NULL, seq INTEGER NOT NULL, attempt INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL,
  step_id TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL, started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL, error TEXT NOT NULL, PRIMARY KEY (build_id, seq)
) WITHOUT ROWID;
INSERT INTO build_heads VALUES ('bld_a', 2, 1, 1001);
INSERT INTO build_events VALUES ('bld_a', 1, 1, 1000, 'line', 's1', 1, 'hello', 0, 0, '');
INSERT INTO build_events VALUES ('bld_a', 2, 1, 1001, 'step', 's1', 4, 'RUN x', 5, 9, 'exit code: 7');
"""


@pytest.fixture
async def telemetry(tmp_path: Path) -> AsyncIterator[SqliteTelemetry]:
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    yield store
    await store.close()


class TestSqliteTelemetry(TelemetryContract):
    """All of the contract."""


def _write_elsewhere(path: str, seqs: list[int]) -> None:
    async def write() -> None:
        store = SqliteTelemetry(Path(path))
        for seq in seqs:
            await store.builds.append("bld_a", [line(f"elsewhere {seq}", seq)])
        await store.close()

    asyncio.run(write())


async def test_two_processes_share_the_file(telemetry: SqliteTelemetry, tmp_path: Path) -> None:
    """The worker writes, the api reads and is woken; two writers neither fail nor lose an event."""
    token = await telemetry.changes.changed(0, 0)
    odd, even = list(range(1, 101, 2)), list(range(2, 101, 2))
    process = multiprocessing.get_context("spawn").Process(
        target=_write_elsewhere, args=(str(tmp_path / "telemetry.db"), odd)
    )
    process.start()
    try:
        assert await telemetry.changes.changed(token, 30) > token
        for seq in even:
            await telemetry.builds.append("bld_a", [line(f"here {seq}", seq)])
    finally:
        await asyncio.to_thread(process.join, 30)
    assert process.exitcode == 0
    events = await telemetry.builds.read("bld_a")
    assert [e.seq for e in events] == list(range(1, 101))
    assert texts(events) == [f"{'elsewhere' if seq % 2 else 'here'} {seq}" for seq in range(1, 101)]


async def test_a_file_of_an_older_version_is_read_and_continued(tmp_path: Path) -> None:
    """Promise: build logs outlive an upgrade, and a build that continues across it keeps its numbers."""
    with closing(sqlite3.connect(tmp_path / "telemetry.db")) as connection:
        connection.executescript(OLDER_FILE)
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    step = BuildStep("s1", "RUN x", StepState.FAILED, 5, 9, "exit code: 7")
    older = [BuildEvent(1, 1, 1000, BuildLine("s1", LogStream.STDOUT, "hello")), BuildEvent(1, 2, 1001, step)]
    assert await store.builds.read("bld_a") == older
    await store.builds.append("bld_a", [line("more", 3, attempt=2)])
    await store.access.store([access(60_000)])
    assert await store.builds.read("bld_a") == [*older, line("more", 3, attempt=2)]
    assert await store.access.read("proj_a", 60, 0, 120_000) == [access(60_000)]
    await store.close()
    assert [file.name for file in tmp_path.glob("*.damaged*")] == []


async def test_the_file_is_private(telemetry: SqliteTelemetry, tmp_path: Path) -> None:
    """Build output is the tenant's: no other user of the machine reads it, nor its journal."""
    await telemetry.builds.append("bld_a", [line("x", 1)])
    files = list(tmp_path.glob("telemetry.db*"))
    assert len(files) == 4  # with the journal, its index, and the lock
    assert all(f.stat().st_mode & 0o077 == 0 for f in files)


async def test_deleted_builds_give_their_space_back(telemetry: SqliteTelemetry, tmp_path: Path) -> None:
    """Disk use is bounded: retention shrinks the file, not only its rows."""
    for batch in range(5):
        await telemetry.builds.append("bld_a", [line("x" * 10_000, batch * 100 + n) for n in range(1, 101)])
    await telemetry.builds.delete_before(1 << 50)
    with closing(sqlite3.connect(tmp_path / "telemetry.db")) as connection:
        assert connection.execute("PRAGMA page_count").fetchone()[0] < 50


async def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Promise: the check says which file is not usable."""
    (tmp_path / "folder").write_text("a file where the folder should be")
    store = SqliteTelemetry(tmp_path / "folder" / "telemetry.db")
    with pytest.raises(Unavailable, match=rf"telemetry\.unavailable.*{tmp_path}/folder/telemetry\.db"):
        await store.check()
    await store.close()


async def test_a_log_that_grew_is_cut(telemetry: SqliteTelemetry, tmp_path: Path) -> None:
    """Promise: the disk that a burst of lines took twice is free again with the next lines, not at the next restart."""
    burst = [line("x" * 16_000, seq) for seq in range(1, 2500)]
    await telemetry.builds.append("bld_a", burst)
    assert (tmp_path / "telemetry.db-wal").stat().st_size > 2 * WAL_KEPT_BYTES
    for seq in (2500, 2501):
        await telemetry.builds.append("bld_a", [line("next", seq)])
    assert (tmp_path / "telemetry.db-wal").stat().st_size <= WAL_KEPT_BYTES
