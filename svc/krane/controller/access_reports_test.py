"""What Envoy counted reaches the api once, over crashes of krane and refusals of the api."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest

from pkg.access import AccessFigures, Answers
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.access_reports import AccessReports
from svc.krane.ingress.access_stats import Reading
from svc.krane.ingress.testing import until

HOUR_MS = 3_600_000
START = 500_000 * HOUR_MS
KEY = b"k" * 32


class Peer:
    """Envoy and the api: a reading for every call, and what was reported."""

    def __init__(self) -> None:
        self.requests = 0
        self.now = START
        self.refusal: grpc.StatusCode | None = None
        self.reports: list[pb.AccessReport] = []
        self.calls = 0

    async def read(self) -> Reading:
        self.now += 10_000
        figures = {"dep_a": AccessFigures(Answers(status_2xx=self.requests))} if self.requests else {}
        return Reading(START - HOUR_MS, self.now, figures)

    async def send(self, request: pb.ReportAccessRequest) -> None:
        assert (request.region, request.replica_id) == ("local", "inst_a")
        self.calls += 1
        if self.refusal is not None:
            raise grpc.aio.AioRpcError(self.refusal, grpc.aio.Metadata(), grpc.aio.Metadata(), "no")
        self.reports += request.reports

    @property
    def told(self) -> int:
        """The requests of all hours, by the highest revision of each."""
        latest: dict[tuple[int, int], pb.AccessReport] = {}
        for one in self.reports:
            if one.step_s == 60 and one.deployment_id:
                key = (one.at, one.part)
                if key not in latest or latest[key].revision <= one.revision:
                    latest[key] = one
        return sum(one.figures.app.status_2xx for one in latest.values())


@pytest.fixture
def peer() -> Peer:
    return Peer()


@asynccontextmanager
async def running(peer: Peer, folder: Path) -> AsyncIterator[AccessReports]:
    """Ends as a crash does."""
    pool = ThreadPoolExecutor(1)
    reports = AccessReports("local", "inst_a", peer.read, peer.send, folder, KEY, pool, every_s=0.01)
    task = asyncio.create_task(reports.run())
    try:
        yield reports
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        pool.shutdown()


async def test_a_crash_loses_and_doubles_nothing(peer: Peer, tmp_path: Path) -> None:
    """Promise: the next krane goes on from what the last one stored; the file can be read by its owner alone."""
    for number in range(1, 4):
        async with running(peer, tmp_path):
            await until(lambda seen=peer.calls: peer.calls > seen + 1, "it is so")  # type: ignore[misc]
            peer.requests += 10
            await until(lambda wanted=10 * number: peer.told == wanted, "it is so")  # type: ignore[misc]
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0


async def test_an_api_that_is_away_gets_it_later(peer: Peer, tmp_path: Path) -> None:
    """Promise: what was not taken is told again, also by the next krane; what is refused for ever is given up."""
    async with running(peer, tmp_path):
        await until(lambda: peer.calls > 1, "it is so")
        peer.refusal = grpc.StatusCode.UNAVAILABLE
        peer.requests = 7
        seen = peer.calls
        await until(lambda: peer.calls > seen + 3, "it is so")
    peer.refusal = None
    async with running(peer, tmp_path):
        await until(lambda: peer.told == 7, "it is so")
        peer.refusal = grpc.StatusCode.INVALID_ARGUMENT
        peer.requests = 9
        seen = peer.calls
        await until(lambda: peer.calls > seen + 3, "it is so")
        peer.refusal = None
        peer.requests = 10
        await until(lambda: peer.told in {8, 10}, "it is so")


async def test_nothing_is_told_that_is_not_on_disk(peer: Peer, tmp_path: Path) -> None:
    """Promise: while the file can't be written, krane waits; then everything is told."""
    folder = tmp_path / "state"
    async with running(peer, folder):
        await until(lambda: peer.calls > 1, "it is so")
        folder.rename(tmp_path / "aside")
        folder.write_text("no folder")
        peer.requests = 5
        before = peer.now
        await until(lambda: peer.now > before + 50_000, "it is so")
        assert peer.told == 0
        folder.unlink()
        await until(lambda: peer.told == 5, "it is so")


async def test_the_last_figures_go_with_the_replica(peer: Peer, tmp_path: Path) -> None:
    """Promise: a krane that stops in good order tells what came since its last report."""
    reports = AccessReports("local", "inst_a", peer.read, peer.send, tmp_path, KEY, ThreadPoolExecutor(1), every_s=60)
    task = asyncio.create_task(reports.run())
    await until(lambda: peer.calls > 0, "it is so")
    peer.requests = 3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await reports.close()
    assert peer.told == 3


async def test_a_damaged_file_is_no_end(peer: Peer, tmp_path: Path) -> None:
    """Promise: krane counts from now on, and does not tell again what may have been told."""
    (tmp_path / "access.state").write_bytes(b"SLKA1\nnonsense")
    peer.requests = 1000
    async with running(peer, tmp_path):
        await until(lambda: peer.calls > 1, "it is so")
        peer.requests = 1001
        await until(lambda: peer.told == 1, "it is so")
