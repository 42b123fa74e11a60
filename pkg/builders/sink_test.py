"""What the sink is given is stored soon, in order, once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pkg.builders.sink import FLUSH_S, TelemetrySink
from pkg.errors import Aborted, Unavailable
from pkg.telemetry import BuildEvent, BuildLine, BuildStep, LogStream, StepState
from pkg.telemetry.events import first_seq
from pkg.telemetry.sqlite import SqliteTelemetry
from pkg.testing.wait import WAIT_S


@pytest.fixture
async def telemetry(tmp_path: Path) -> AsyncIterator[SqliteTelemetry]:
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    yield store
    await store.close()


async def current() -> None:
    """The fence of the attempt that may write."""


async def superseded() -> None:
    """The fence once a newer attempt has started."""
    raise Aborted("build.attempt_superseded", "attempt 1 of bld_a was replaced by attempt 2")


async def test_a_line_is_stored_within_100_ms(telemetry: SqliteTelemetry) -> None:
    """A follower of a build gets a line within a moment, although lines are written in batches."""
    async with TelemetrySink(telemetry.builds, "bld_a", 1, current) as sink:
        token = await telemetry.changes.changed(0, 0)
        await sink.line("s", LogStream.STDOUT, "hello")
        async with asyncio.timeout(WAIT_S):  # no further line comes, and the sink is not closed
            while not await telemetry.builds.read("bld_a"):
                token = await telemetry.changes.changed(token, WAIT_S)
    assert FLUSH_S <= 0.1


async def test_order_and_completeness(telemetry: SqliteTelemetry) -> None:
    """Ten thousand lines and the last step: all there, in order, with the attempt, when the sink is left."""
    step = BuildStep("s", "RUN", StepState.COMPLETED, 1, 2)
    async with TelemetrySink(telemetry.builds, "bld_a", 3, current) as sink:
        for n in range(10_000):
            await sink.line("s", LogStream.STDOUT, str(n))
        await sink.step(step)
    events: list[BuildEvent] = []
    while page := await telemetry.builds.read("bld_a", events[-1].seq if events else 0):
        events += page
    assert [e.event.text for e in events if isinstance(e.event, BuildLine)] == [str(n) for n in range(10_000)]
    assert (events[-1].event, events[-1].attempt) == (step, 3)


async def test_numbers_go_on_across_attempts(telemetry: SqliteTelemetry) -> None:
    """After a crash the new attempt continues the log, under numbers of its own that are larger."""
    for attempt in (1, 2):
        async with TelemetrySink(telemetry.builds, "bld_a", attempt, current) as sink:
            await sink.line("s", LogStream.STDOUT, f"{attempt}")
            await sink.line("s", LogStream.STDOUT, f"{attempt} more")
    second = first_seq(2)
    numbers = [(event.attempt, event.seq) for event in await telemetry.builds.read("bld_a")]
    assert numbers == [(1, 1), (1, 2), (2, second), (2, second + 1)]


async def test_a_replaced_attempt_hears_of_it_and_stores_nothing(telemetry: SqliteTelemetry) -> None:
    """The refusal of the fence comes out of a later call or of the end, and stops the build that way."""
    with pytest.raises(Aborted, match=r"build\.attempt_superseded"):
        async with TelemetrySink(telemetry.builds, "bld_a", 1, superseded) as sink:
            await sink.line("s", LogStream.STDOUT, "late")

    async def talk() -> None:
        async with TelemetrySink(telemetry.builds, "bld_a", 1, superseded) as sink:
            while True:
                await sink.line("s", LogStream.STDOUT, "late")
                await asyncio.sleep(0)

    with pytest.raises(Aborted, match=r"build\.attempt_superseded"):
        await asyncio.wait_for(talk(), WAIT_S)
    assert await telemetry.builds.read("bld_a") == []


async def test_the_builds_own_error_is_the_one_that_comes_out(telemetry: SqliteTelemetry) -> None:
    """A failure inside is not hidden by a failure to store."""

    async def fail() -> None:
        async with TelemetrySink(telemetry.builds, "bld_a", 1, superseded) as sink:
            await sink.line("s", LogStream.STDOUT, "late")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()


async def test_a_full_disk_costs_lines_and_not_the_build(telemetry: SqliteTelemetry) -> None:
    """The store fills in the middle of a build: the build continues, and its log says later what is missing."""

    async def room(pages: int) -> None:
        await telemetry._connections[0].run(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}"))

    async with TelemetrySink(telemetry.builds, "bld_a", 1, current) as sink:
        await sink.line("s", LogStream.STDOUT, "first")
        await _until_stored(telemetry, 1)
        await room(1)
        with pytest.raises(Unavailable, match=r"telemetry\.unavailable"):
            await telemetry.builds.append(
                "bld_b", [BuildEvent(1, 1, 1, BuildLine("s", LogStream.STDOUT, "x" * 100_000))]
            )
        for _ in range(1000):
            await sink.line("s", LogStream.STDOUT, "x" * 1000)
        async with asyncio.timeout(WAIT_S):
            while sink._lost < 1000:  # noqa: ASYNC110 - no event announces it
                await asyncio.sleep(0.01)
        await room(1 << 30)
        await sink.line("s", LogStream.STDOUT, "last")
    events = await telemetry.builds.read("bld_a")
    lines = [event.event.text for event in events if isinstance(event.event, BuildLine)]
    assert lines[0] == "first"
    assert lines[-2].startswith("1000 lines and steps before this one are missing")
    assert lines[-1] == "last"
    assert events[-1].seq > 1000, "the numbers of what was lost stay unused"


async def _until_stored(telemetry: SqliteTelemetry, count: int) -> None:
    token = await telemetry.changes.changed(0, 0)
    while len(await telemetry.builds.read("bld_a")) < count:
        token = await telemetry.changes.changed(token, 5)
