"""Heartbeats, and what ends a build when its machine is gone."""

import asyncio
from collections.abc import AsyncIterator
from typing import NoReturn

import grpc
import pytest

from pkg.builds.failures import BuilderUnavailable, FailureKind
from pkg.depot.api import DepotBuild, open_api
from pkg.depot.machine import Timing, keep, unless
from pkg.depot.testing import DepotDouble
from pkg.testing.wait import WAIT_S

Code = grpc.StatusCode
FAST = Timing(heartbeat_s=0.02, heartbeats=3, heartbeat_timeout_s=1, heartbeats_lost_s=0.3)


@pytest.fixture
async def build(depot: DepotDouble) -> AsyncIterator[DepotBuild]:
    async with open_api(depot.config()) as api:
        yield await api.create_build(depot.add_project("p"), "arm64")


async def test_heartbeats_go_on_over_failed_calls(depot: DepotDouble, build: DepotBuild) -> None:
    """Promise: a call that Depot loses is made again over another connection; nothing ends but by a cancel."""
    depot.faults["ReportHealth"] = [Code.UNAVAILABLE, Code.INTERNAL]
    keeping = asyncio.create_task(keep(depot.config(), build, FAST))
    async with asyncio.timeout(WAIT_S):
        await depot.last.beats(8)
    assert depot.calls["ReportHealth"] >= 4
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert keeping.cancelled()


@pytest.mark.parametrize(
    "code", [Code.UNAUTHENTICATED, Code.PERMISSION_DENIED, Code.NOT_FOUND, Code.FAILED_PRECONDITION]
)
async def test_a_refused_heartbeat_gives_the_machine_up(
    depot: DepotDouble, build: DepotBuild, code: grpc.StatusCode
) -> None:
    """Promise: Depot's no is final: the build gets another attempt."""
    depot.faults["ReportHealth"] = [code]
    with pytest.raises(BuilderUnavailable, match=f"does not keep the machine any more .ReportHealth: {code.name}"):
        await keep(depot.config(), build, FAST)


async def test_heartbeats_that_nobody_confirms_give_the_machine_up(depot: DepotDouble, build: DepotBuild) -> None:
    """Promise: a Depot that is away, or takes heartbeats without a word, is given up after a bounded time."""
    depot.faults["ReportHealth"] = [Code.UNAVAILABLE] * 1000
    with pytest.raises(BuilderUnavailable, match="has confirmed no heartbeat for"):
        await keep(depot.config(), build, FAST)
    depot.faults.clear()
    depot.hangs = {"ReportHealth"}
    with pytest.raises(BuilderUnavailable, match="DEADLINE_EXCEEDED"):
        await keep(depot.config(), build, FAST)


async def test_what_watches_ends_the_work() -> None:
    """Promise: the watcher's error comes out after the work has ended; a result is not lost to it."""
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def fails() -> NoReturn:
        raise BuilderUnavailable(FailureKind.BUILDER_LOST, "gone")

    async def waits() -> NoReturn:
        await asyncio.sleep(60)
        raise AssertionError

    async def result() -> int:
        return 7

    with pytest.raises(BuilderUnavailable, match="gone"):
        await unless(work(), waits(), fails())
    assert ended.is_set()
    assert await unless(result(), waits()) == 7
