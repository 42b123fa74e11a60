"""Routes: applied, stored, then reported."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio

from pkg.observability.metrics import Metrics
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.routing import Routing
from svc.krane.controller.snapshot import SnapshotFile, snapshot_writer
from svc.krane.ingress.port import Certificate, Challenge, Nack
from svc.krane.metrics import KraneMetrics
from svc.krane.testing.feed import begin, certificate, challenge, end, head, route, state_of
from svc.krane.testing.ingress import RecordingIngress
from svc.krane.testing.routes import routes_to

KEY_PEM = b"a private key, in clear"


class RoutingHarness:
    """Routing between a recorded ingress, a snapshot on disk and an api that takes or refuses."""

    def __init__(self, folder: Path, *, is_shared: bool = False) -> None:
        self.desired = state_of(begin(), route("a.x", "dep_a"), end())
        self.ingress = RecordingIngress()
        self.file = SnapshotFile(folder, b"key", "local")
        self.writer = snapshot_writer(self.file, self.desired, "inst_1")
        self.sent: asyncio.Queue[pb.ReportAppliedRequest] = asyncio.Queue()
        self.refuse = 0
        metrics = KraneMetrics(Metrics("krane", "inst_test"), "local")
        self.routing = Routing(
            "local", self.desired, self.ingress, self.writer, self.saved, self.send, metrics, is_shared=is_shared
        )

    async def saved(self, _timeout_s: float) -> bool:
        return True

    async def send(self, request: pb.ReportAppliedRequest) -> None:
        if self.refuse:
            self.refuse -= 1
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())
        self.sent.put_nowait(request)

    def take(self, message: pb.WatchDesiredStateResponse) -> None:
        change = self.desired.apply(message)
        assert change is not None
        self.routing.changed(change, self.writer.changed())

    def move(self, *routes: pb.WatchDesiredStateResponse) -> None:
        """Routes that change in one commit, as the feed sends them."""
        for one in routes:
            self.take(one)
        self.take(head(routes[-1].version))

    async def next(self) -> pb.ReportAppliedRequest:
        return await asyncio.wait_for(self.sent.get(), WAIT_S)


@asynccontextmanager
async def running(harness: RoutingHarness) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(harness.writer.run()), asyncio.create_task(harness.routing.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await harness.writer.close()


async def test_applied_is_reported_after_the_data_plane_and_the_disk(tmp_path: Path) -> None:
    # Promise: ReportApplied means: served, and krane would come back with it.
    harness = RoutingHarness(tmp_path)
    harness.ingress.is_held = True
    async with running(harness):
        harness.move(route("a.x", "dep_b", 5))
        assert harness.ingress.routes == routes_to({"a.x": "dep_b"})
        await asyncio.sleep(0.1)
        assert harness.sent.empty()
        harness.ingress.release()
        report = await harness.next()
        assert (report.version, report.epoch, report.region) == (5, "e1", "local")
        stored = state_of()
        harness.file.load(stored)
        assert stored.version == 5


async def test_what_moves_together_is_applied_and_reported_once(tmp_path: Path) -> None:
    # Promise: a switch costs the data plane one table and the api one report, however many hostnames move.
    harness = RoutingHarness(tmp_path)
    async with running(harness):
        for version, host in enumerate(("a.x", "b.x", "c.x"), 5):
            harness.take(route(host, "dep_b", version))
        assert harness.ingress.routes == {}, "not before all of it is here"
        harness.take(head(7))
        assert harness.ingress.routes == routes_to(dict.fromkeys(("a.x", "b.x", "c.x"), "dep_b"))
        assert (await harness.next()).version == 7
        assert harness.sent.empty()


async def test_certificates_and_challenges_are_applied_as_routes_are(tmp_path: Path) -> None:
    """Promise: a version that brought one is reported once the data plane has it, and it is on disk."""
    harness = RoutingHarness(tmp_path)
    harness.ingress.is_held = True
    async with running(harness):
        harness.move(
            certificate("crt_1", "a.x", chain=b"chain", key=b"key", version=5), challenge("t", "b.x", "t.p", 6)
        )
        assert harness.ingress.certificates == {"crt_1": Certificate("crt_1", ("a.x",), b"chain", b"key", 0)}
        assert harness.ingress.challenges == {"t": Challenge("t", "b.x", "t.p")}
        await asyncio.sleep(0.1)
        assert harness.sent.empty()
        harness.ingress.release()
        assert (await harness.next()).version == 6
        stored = state_of()
        harness.file.load(stored)
        assert stored.certificates().keys() == {"crt_1"}
    assert KEY_PEM not in harness.file.sealed.path.read_bytes()


async def test_refused_routes_are_named_with_their_own_version(tmp_path: Path) -> None:
    # Promise: one bad route does not hold back the others, and its deploy learns why.
    harness = RoutingHarness(tmp_path)
    harness.ingress.nacks = [Nack(99, "bad.x", "no healthy instance")]
    async with running(harness):
        harness.move(route("bad.x", "dep_b", 4), route("good.x", "dep_c", 6))
        report = await harness.next()
    assert report.version == 6
    assert [(nack.version, nack.hostname) for nack in report.nacks] == [(4, "bad.x")]


async def test_what_is_served_after_all_is_said_at_once(tmp_path: Path) -> None:
    # Promise: a route that was refused for want of a healthy instance holds back nobody, nor its own deploy for long.
    harness = RoutingHarness(tmp_path)
    harness.ingress.nacks = [Nack(4, "bad.x", "no healthy instance")]
    async with running(harness):
        harness.move(route("bad.x", "dep_b", 4))
        assert [nack.hostname for nack in (await harness.next()).nacks] == ["bad.x"]
        harness.ingress.refuse()
        report = await harness.next()
    assert (report.version, list(report.nacks)) == (4, [])


async def test_a_refused_report_is_sent_again(tmp_path: Path) -> None:
    # Promise: a switch does not hang because the api was away for a moment.
    harness = RoutingHarness(tmp_path)
    harness.refuse = 2
    async with running(harness):
        harness.move(route("a.x", "dep_b", 5))
        assert (await harness.next()).version == 5


async def test_the_same_is_not_said_twice(tmp_path: Path) -> None:
    # Promise: keepalives cost the api nothing.
    harness = RoutingHarness(tmp_path)
    async with running(harness):
        harness.move(route("a.x", "dep_b", 5))
        await harness.next()
        harness.take(head(5))
        harness.take(head(8))
        assert (await harness.next()).version == 8
        assert harness.sent.empty()


async def test_versions_given_to_the_ingress_grow_even_when_the_feed_starts_over(tmp_path: Path) -> None:
    # Promise: after a restore (another epoch, lower versions) the new table is applied and reported as the feed's.
    harness = RoutingHarness(tmp_path)
    async with running(harness):
        harness.move(route("a.x", "dep_b", 50))
        assert (await harness.next()).version == 50
        before = harness.ingress.version
        for message in (begin("e2", 3), route("a.x", "dep_z", 3)):
            harness.desired.apply(message)
        harness.take(end(3))
        report = await harness.next()
        assert (report.epoch, report.version) == ("e2", 3)
        assert harness.ingress.version > before
        assert harness.ingress.routes == routes_to({"a.x": "dep_z"})


async def test_what_is_still_served_without_a_route_is_named(tmp_path: Path) -> None:
    """One of several replicas says when its data plane has left a deployment; a held route counts as applied before."""
    harness = RoutingHarness(tmp_path, is_shared=True)
    harness.routing.changed(harness.desired.everything(), harness.writer.changed())
    async with running(harness):
        await harness.next()
        harness.ingress.is_held = True
        harness.move(route("a.x", "dep_b", 2))
        harness.ingress._applied = 2
        harness.ingress._moved.set()
        report = await harness.next()
        assert (report.version, list(report.still_served)) == (2, ["dep_a"])
        harness.ingress.release()
        report = await harness.next()
        assert (report.version, list(report.still_served)) == (2, [])
        harness.routing.report_again()
        assert await harness.next() == report, "the api counts it no more"
