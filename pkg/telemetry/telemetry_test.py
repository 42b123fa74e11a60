"""What build telemetry promises, on the SQLite adapter."""

import asyncio
import multiprocessing
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pkg.errors import Aborted
from pkg.telemetry import BuildEvent, BuildLine, BuildStep, BuildTelemetry, LogStream, SqliteTelemetry, StepState
from sealift.ctrl.v1 import build_pb2


@pytest.fixture
async def telemetry(tmp_path: Path) -> AsyncIterator[BuildTelemetry]:
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    yield store
    store.close()


def line(text: str, attempt: int = 1, at: int = 1000) -> BuildEvent:
    return BuildEvent(attempt, at, BuildLine("s1", LogStream.STDOUT, text))


def texts(events: list[BuildEvent]) -> list[str]:
    return [e.event.text for e in events if isinstance(e.event, BuildLine)]


def test_numbers_are_those_of_the_protos() -> None:
    """A reader copies stream and state into the message without a table."""
    assert {s.name: s.value for s in LogStream} == {
        k.removeprefix("BUILD_LOG_STREAM_"): v for k, v in build_pb2.BuildLogStream.items() if v
    }
    assert {s.name: s.value for s in StepState} == {
        k.removeprefix("BUILD_STEP_STATE_"): v for k, v in build_pb2.BuildStepState.items() if v
    }


async def test_events_come_back_as_they_were(telemetry: BuildTelemetry) -> None:
    """Every field of both kinds survives, in order, numbered from 1 without gaps."""
    step = BuildStep("s1", "[1/2] RUN x", StepState.FAILED, 5, 9, "exit code: 7")
    odd = BuildLine("", LogStream.SYSTEM, "emoji 🛳 \x00 \ufffd 'quotes'")
    assert await telemetry.append("bld_a", [line("one"), BuildEvent(1, 1001, step)]) == 2
    assert await telemetry.append("bld_a", [BuildEvent(1, 1002, odd)]) == 3
    assert await telemetry.append("bld_a", []) == 3
    events = await telemetry.read("bld_a")
    assert [(e.seq, e.attempt, e.at) for e in events] == [(1, 1, 1000), (2, 1, 1001), (3, 1, 1002)]
    assert [e.event for e in events] == [line("one").event, step, odd]


async def test_reading_resumes_by_sequence_number(telemetry: BuildTelemetry) -> None:
    """A reader that lost its connection goes on after the last number it saw; another build is not mixed in."""
    await telemetry.append("bld_a", [line(str(n)) for n in range(10)])
    await telemetry.append("bld_b", [line("other")])
    assert texts(await telemetry.read("bld_a", after_seq=7)) == ["7", "8", "9"]
    assert texts(await telemetry.read("bld_a", after_seq=2, limit=2)) == ["2", "3"]
    assert await telemetry.read("bld_unknown") == []
    assert (await telemetry.last_seq("bld_a"), await telemetry.last_seq("bld_unknown")) == (10, 0)


async def test_numbers_go_on_across_attempts_and_old_attempts_are_mute(telemetry: BuildTelemetry) -> None:
    """After a crash the new attempt continues the log; what the old one still sends is refused as a whole."""
    await telemetry.append("bld_a", [line("first", attempt=1)])
    assert await telemetry.append("bld_a", [line("second", attempt=2)]) == 2
    with pytest.raises(Aborted, match=r"build\.attempt_superseded"):
        await telemetry.append("bld_a", [line("late", attempt=1), line("late", attempt=2)])
    assert texts(await telemetry.read("bld_a")) == ["first", "second"]


async def test_delete_and_retention(telemetry: BuildTelemetry) -> None:
    """Old builds go as a whole, by their last event; younger ones stay."""
    await telemetry.append("bld_old", [line("x", at=10), line("x", at=20)])
    await telemetry.append("bld_mixed", [line("x", at=10), line("x", at=99)])
    assert await telemetry.delete_before(50) == 1
    assert await telemetry.read("bld_old") == []
    assert len(await telemetry.read("bld_mixed")) == 2
    await telemetry.delete("bld_mixed")
    await telemetry.delete("bld_mixed")
    assert await telemetry.last_seq("bld_mixed") == 0


async def test_changed_wakes_soon_and_misses_nothing(telemetry: BuildTelemetry) -> None:
    """A waiter hears of a write within a fraction of a second, also of one between its reading and its waiting."""
    token = await telemetry.changed(0, 0)
    await telemetry.append("bld_a", [line("between")])
    token = await asyncio.wait_for(telemetry.changed(token, 5), 1)
    waiters = [asyncio.create_task(telemetry.changed(token, 5)) for _ in range(20)]
    started = time.monotonic()
    await telemetry.append("bld_a", [line("x")])
    tokens = await asyncio.wait_for(asyncio.gather(*waiters), 2)
    assert all(t > token for t in tokens)
    assert time.monotonic() - started < 0.5


async def test_changed_ends_when_the_time_is_up(telemetry: BuildTelemetry) -> None:
    """Silence returns the same token after the time given."""
    token = await telemetry.changed(0, 0)
    started = time.monotonic()
    assert await telemetry.changed(token, 0.1) == token
    assert 0.09 < time.monotonic() - started < 2


def _write_elsewhere(path: str, count: int) -> None:
    async def write() -> None:
        store = SqliteTelemetry(Path(path))
        for n in range(count):
            await store.append("bld_a", [line(f"elsewhere {n}")])
        store.close()

    asyncio.run(write())


async def test_two_processes_share_the_file(telemetry: BuildTelemetry, tmp_path: Path) -> None:
    """The worker writes, the api reads and is woken; two writers neither fail nor lose an event."""
    token = await telemetry.changed(0, 0)
    process = multiprocessing.get_context("spawn").Process(
        target=_write_elsewhere, args=(str(tmp_path / "telemetry.db"), 50)
    )
    process.start()
    try:
        assert await telemetry.changed(token, 30) > token
        for n in range(50):
            await telemetry.append("bld_a", [line(f"here {n}")])
    finally:
        await asyncio.to_thread(process.join, 30)
    assert process.exitcode == 0
    events = await telemetry.read("bld_a")
    assert [e.seq for e in events] == list(range(1, 101))
    assert sorted(texts(events)) == sorted(f"{where} {n}" for where in ("here", "elsewhere") for n in range(50))


async def test_the_file_is_private(telemetry: BuildTelemetry, tmp_path: Path) -> None:
    """Build output is the tenant's: no other user of the machine reads it, nor its journal."""
    await telemetry.append("bld_a", [line("x")])
    files = list(tmp_path.glob("telemetry.db*"))
    assert len(files) == 4  # with the journal, its index, and the lock
    assert all(f.stat().st_mode & 0o077 == 0 for f in files)


async def test_deleted_builds_give_their_space_back(telemetry: BuildTelemetry, tmp_path: Path) -> None:
    """Disk use is bounded: retention shrinks the file, not only its rows."""
    for _ in range(5):
        await telemetry.append("bld_a", [line("x" * 10_000) for _ in range(100)])
    await telemetry.delete_before(1 << 50)
    connection = sqlite3.connect(tmp_path / "telemetry.db")
    try:
        assert connection.execute("PRAGMA page_count").fetchone()[0] < 50
    finally:
        connection.close()
