"""What only a transactional store can promise is kept by the control database, also where logs are in ClickHouse."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from pkg.builders.sink import TelemetrySink
from pkg.builds import queries as builds
from pkg.db import Database
from pkg.errors import Aborted
from pkg.telemetry import BuildEvent, LogStream
from pkg.telemetry.clickhouse.store import ClickHouseTelemetry
from pkg.telemetry.clickhouse.testing import ClickHouseServer
from pkg.telemetry.contract import numbers_are_complete, texts
from pkg.telemetry.port import BuildTelemetry
from pkg.testing.sample_project import add_sample_project, record_deploy
from pkg.testing.wait import WAIT_S


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    running = ClickHouseServer(tmp_path_factory.mktemp("clickhouse"))
    running.start()
    yield running
    running.kill()


@pytest.fixture
async def telemetry(server: ClickHouseServer) -> AsyncIterator[ClickHouseTelemetry]:
    store = ClickHouseTelemetry(server.access("logs"), timeout_s=2)
    yield store
    await store.close()


class HeldBuilds:
    """A store of builds whose batches are on their way until they are let go."""

    def __init__(self, builds: BuildTelemetry) -> None:
        self._builds = builds
        self.under_way = asyncio.Event()
        self.has_arrived = asyncio.Event()
        self.may_arrive = asyncio.Event()
        self.may_arrive.set()
        self.read = builds.read
        self.delete = builds.delete
        self.delete_before = builds.delete_before

    async def append(self, build_id: str, events: Sequence[BuildEvent]) -> None:
        self.under_way.set()
        await self.may_arrive.wait()
        await self._builds.append(build_id, events)
        self.has_arrived.set()


async def _follow(telemetry: ClickHouseTelemetry, build_id: str, lines: list[str]) -> None:
    """As the api does for a user, until the line "end"."""
    seq = 0
    while not lines or lines[-1] != "end":
        token = await telemetry.changes.changed(0, 0)
        while events := await telemetry.builds.read(build_id, seq, 2):
            lines += texts(events)
            seq = events[-1].seq
        await telemetry.changes.changed(token, 1)


async def _until(lines: list[str], wanted: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while wanted not in lines:  # noqa: ASYNC110 - another task appends
            await asyncio.sleep(0.02)


async def test_a_replaced_attempt_costs_the_newer_one_nothing(db: Database, telemetry: ClickHouseTelemetry) -> None:
    """A batch that was under way when another attempt began arrives late: it takes neither number nor place of that
    attempt's lines, so that a follower misses none, and the next batch of the replaced attempt is refused.
    """
    build_id = await db.write(lambda c: record_deploy(c, add_sample_project(c)).build_id) or ""

    async def begin(store: BuildTelemetry) -> TelemetrySink:
        attempt = await db.write(builds.claim_attempt, build_id, 1) or 0

        async def fence() -> None:
            await db.read(builds.require_attempt, build_id, attempt)

        return TelemetrySink(store, build_id, attempt, fence)

    async def be_replaced() -> None:
        async with await begin(held) as first:
            await first.line("s", LogStream.STDOUT, "first")
            await _until(followed, "first")
            held.may_arrive.clear()
            held.has_arrived.clear()
            held.under_way.clear()
            for n in range(5):
                await first.line("s", LogStream.STDOUT, f"under way {n}")
            await held.under_way.wait()
            async with await begin(telemetry.builds) as second:
                await second.line("s", LogStream.STDOUT, "second")
                await _until(followed, "second")
                held.may_arrive.set()
                await held.has_arrived.wait()
                await first.line("s", LogStream.STDOUT, "too late")
                await second.line("s", LogStream.STDOUT, "end")

    held = HeldBuilds(telemetry.builds)
    followed: list[str] = []
    following = asyncio.create_task(_follow(telemetry, build_id, followed))
    with pytest.raises(Aborted, match=r"build\.attempt_superseded"):
        await asyncio.wait_for(be_replaced(), WAIT_S)
    await asyncio.wait_for(following, WAIT_S)
    assert followed == ["first", "second", "end"]
    events = await telemetry.builds.read(build_id)
    assert texts(events) == ["first", *(f"under way {n}" for n in range(5)), "second", "end"]
    assert numbers_are_complete(events)


@pytest.mark.parametrize("fault", ["killed", "hangs"])
async def test_a_server_that_is_away_costs_lines_and_not_the_build(
    server: ClickHouseServer, telemetry: ClickHouseTelemetry, fault: str
) -> None:
    """In the middle of a build: it continues, its log says how many lines are missing, and goes on afterwards."""

    async def current() -> None:
        """The attempt may write."""

    build_id = f"bld_{fault}"
    async with TelemetrySink(telemetry.builds, build_id, 1, current) as sink:
        await sink.line("s", LogStream.STDOUT, "first")
        async with asyncio.timeout(WAIT_S):
            while not await telemetry.builds.read(build_id):
                await telemetry.changes.changed(await telemetry.changes.changed(0, 0), 0.1)
        if fault == "killed":
            server.kill()
            await _lose(sink, 1000)
            server.start()
        else:
            with server.paused():
                await _lose(sink, 1000)
        await sink.line("s", LogStream.STDOUT, "last")
    lines: list[str] = []
    seq = 0
    while events := await telemetry.builds.read(build_id, seq):
        lines += texts(events)
        seq = events[-1].seq
    assert (lines[0], lines[-1]) == ("first", "last")
    assert len(set(lines)) == len(lines), "a batch whose answer was lost may be there, once"
    missing = next(text for text in lines if "missing" in text)
    assert missing.startswith("1000 lines and steps before this one are missing")


async def _lose(sink: TelemetrySink, count: int) -> None:
    for n in range(count):
        await sink.line("s", LogStream.STDOUT, f"lost {n}")
    async with asyncio.timeout(WAIT_S):
        while sink._lost < count:  # noqa: ASYNC110 - no event announces it
            await asyncio.sleep(0.02)
