"""A krane's usage on its way to the api."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest

from pkg.errors import Unavailable
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import usage_pb2 as pb
from svc.krane.controller.usage_reports import UsageReports
from svc.krane.runtime.port import InstanceStatus, InstanceUsage, Observation
from svc.krane.testing.memory import Machine, MemoryRuntime

BEGAN = 1_700_000_000_000


class Measured(MemoryRuntime):
    """A runtime whose figures the test sets."""

    def __init__(self) -> None:
        super().__init__(Machine(), "inst_1")
        self.found: list[InstanceUsage] = []
        self.is_away = False
        self.asked = 0

    async def usage(self) -> list[InstanceUsage]:
        self.asked += 1
        if self.is_away:
            raise Unavailable("engine.unavailable", "it is away")
        return self.found


class Api:
    """Takes reports, or refuses them."""

    def __init__(self) -> None:
        self.reports: list[pb.UsageReport] = []
        self.refuses: grpc.StatusCode | None = None
        self.calls = 0

    async def send(self, request: pb.ReportUsageRequest) -> None:
        self.calls += 1
        if self.refuses is not None:
            raise grpc.aio.AioRpcError(self.refuses, grpc.aio.Metadata(), grpc.aio.Metadata(), "no")
        self.reports += request.reports


class Rig:
    """One krane after another on one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime, self.api = Measured(), Api()
        self.now, self.term = BEGAN, 1
        self._running: tuple[UsageReports, asyncio.Task[None]] | None = None

    async def start(self, seen: Observation | None = None) -> None:
        """Starts one that has observed this; returns once it measures."""
        found = asyncio.Event()
        found.set()
        reports = UsageReports(
            "local", self.runtime, self.api.send, self.folder, b"key", lambda: self.now, lambda: self.term, 0.01
        )
        reports.seen(seen)
        asked = self.runtime.asked
        self._running = reports, asyncio.create_task(reports.run(found))
        await self.until(lambda: self.runtime.asked > asked)

    async def kill(self) -> None:
        """Ends it without a last report."""
        if self._running is not None:
            self._running[1].cancel()
            await asyncio.gather(self._running[1], return_exceptions=True)
            refuses, self.api.refuses = self.api.refuses, grpc.StatusCode.UNAVAILABLE
            await self._running[0].close()
            self.api.refuses = refuses
            self._running = None

    async def uses(self, cpu_ns: int, after_ms: int) -> pb.UsageReport:
        """The report of the next measurement."""
        self.now += after_ms
        self.runtime.found = [InstanceUsage("dep-1-0", "u1", "dep_1", 1 << 20, cpu_ns)]
        await self.until(lambda: self.api.reports and self.api.reports[-1].measured_at == self.now)
        return self.api.reports[-1]

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits for it."""
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 - the reports tell nobody
                await asyncio.sleep(0.01)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    await rig.kill()


SEEN = Observation("dep-1-0", "u1", "dep_1", 0, InstanceStatus.RUNNING, started_at_ms=BEGAN + 1, restarts=2)


async def test_counters_survive_a_kill(rig: Rig) -> None:
    """Promise: after kill -9 the counters go on, with what the runtime counted meanwhile, under the same begin."""
    await rig.start(SEEN)
    first = await rig.uses(5, 1000)
    assert (first.deployment_id, first.instance_id, first.cpu_ns, first.restarts) == ("dep_1", "dep-1-0", 5, 2)
    await rig.kill()
    await rig.start()
    second = await rig.uses(9, 1000)
    assert (second.source_id, second.began_at, second.cpu_ns) == (first.source_id, first.began_at, 9)
    assert second.seq > first.seq
    assert second.measured_ms == first.measured_ms + 1000


async def test_nothing_is_lost_while_the_api_is_away(rig: Rig) -> None:
    """Promise: the first report that the api takes says all of it."""
    await rig.start(SEEN)
    await rig.uses(5, 1000)
    rig.api.refuses = grpc.StatusCode.UNAVAILABLE
    rig.now, calls = rig.now + 1000, rig.api.calls
    rig.runtime.found = [InstanceUsage("dep-1-0", "u1", "dep_1", 1 << 20, 8)]
    await rig.until(lambda: rig.api.calls > calls)
    rig.api.refuses = None
    assert (await rig.uses(9, 1000)).cpu_ns == 9


async def test_what_the_api_refuses_for_good_is_given_up(rig: Rig) -> None:
    """Promise: a report that makes no sense to the api does not hold up those after it."""
    rig.api.refuses = grpc.StatusCode.INVALID_ARGUMENT
    await rig.start(SEEN)
    rig.runtime.found = [InstanceUsage("dep-1-0", "u1", "dep_1", 1 << 20, 1)]
    await rig.until(lambda: rig.api.calls)
    rig.api.refuses = None
    assert (await rig.uses(4, 1000)).cpu_ns == 4


async def test_another_leader_begins_again(rig: Rig) -> None:
    """Promise: what the replica that led meanwhile has counted is not counted twice."""
    await rig.start(SEEN)
    first = await rig.uses(500, 1000)
    await rig.kill()
    rig.term, rig.now = 3, rig.now + 500
    await rig.start(SEEN)
    await rig.uses(800, 1000)
    again = await rig.uses(900, 1000)
    assert again.began_at > first.began_at
    assert again.cpu_ns == 900 - 500  # counting begins with its first measurement


async def test_a_runtime_that_is_away_is_asked_again(rig: Rig) -> None:
    """Promise: measuring goes on once the runtime is back, and a damaged file is set aside with what was in it."""
    (rig.folder / "usage.state").write_bytes(b"no such file")
    rig.runtime.is_away = True
    await rig.start(SEEN)
    await rig.until(lambda: rig.runtime.asked > 3)
    assert rig.api.reports == []
    rig.runtime.is_away = False
    assert (await rig.uses(3, 1000)).cpu_ns == 3
