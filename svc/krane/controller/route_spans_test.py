"""Promise: the trace of a deploy shows when its first routes were applied; later moves do not distort it."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from pkg.observability.tracing import Span, Tracing
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.desired import Change, DesiredState
from svc.krane.controller.kinds import ROUTE
from svc.krane.controller.route_spans import RouteSpans

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OWN = "00-0af7651916cd43dd8448eb211c80319c-c8be7c82703144a2-01"


class Recorded(Tracing):
    """Remembers how each span ended."""

    enabled = True

    def __init__(self) -> None:
        self.ended: list[tuple[str, str, object, str]] = []

    @contextlib.contextmanager
    def span(self, name: str, traceparent: str | None = None, **attributes: object) -> Iterator[Span]:
        """See `Tracing.span`."""
        span = _Recorded()
        yield span
        self.ended.append((name, traceparent or "", attributes["deployment_id"], span.failure))

    def traceparent(self) -> str:
        """See `Tracing.traceparent`."""
        return OWN


class _Recorded:
    failure = ""

    def set(self, **attributes: object) -> None:
        """Not asked for here."""

    def fail(self, message: str) -> None:
        """Remember why."""
        self.failure = message


class Krane:
    """A desired state, and what was reported of it."""

    def __init__(self) -> None:
        self.tracing = Recorded()
        self.desired = DesiredState()
        self.sent: list[tuple[int, str]] = []
        self.spans = RouteSpans(self.tracing, self.desired, self._send)

    async def _send(self, request: pb.ReportAppliedRequest, traceparent: str) -> None:
        self.sent.append((request.version, traceparent))

    def take(self, *messages: pb.WatchDesiredStateResponse) -> None:
        """Lets the feed say this."""
        for message in messages:
            change = self.desired.apply(message)
            if change is not None:
                self.spans.changed(change)

    async def report(self, version: int, *nacks: pb.Nack) -> None:
        """Reports the version once the spans had their turn."""
        await asyncio.sleep(0)
        await self.spans.report(pb.ReportAppliedRequest(region="local", version=version, nacks=nacks))
        await asyncio.sleep(0)


def topology(version: int, deployment_id: str) -> pb.WatchDesiredStateResponse:
    one = pb.Topology(deployment_id=deployment_id, traceparent=PARENT)
    return pb.WatchDesiredStateResponse(version=version, topology=one)


def route(version: int, hostname: str, deployment_id: str) -> pb.WatchDesiredStateResponse:
    one = pb.DesiredRoute(hostname=hostname, deployment_id=deployment_id)
    return pb.WatchDesiredStateResponse(version=version, route=one)


@pytest.fixture
async def krane() -> Krane:
    made = Krane()
    made.take(
        pb.WatchDesiredStateResponse(version=1, snapshot_begin=pb.SnapshotBegin(epoch="inst_1")),
        topology(1, "dep_a"),
        route(1, "a.test", "dep_a"),
        pb.WatchDesiredStateResponse(version=1, snapshot_end=pb.SnapshotEnd()),
    )
    return made


async def test_first_routes_are_a_span_until_they_are_reported(krane: Krane) -> None:
    """What a snapshot holds has been applied long ago; a new deployment's span ends with the report that covers it."""
    krane.take(topology(2, "dep_b"), route(3, "b.test", "dep_b"))
    await krane.report(2)
    assert krane.tracing.ended == []
    await krane.report(3)
    assert krane.tracing.ended == [("krane.apply_routes", PARENT, "dep_b", "")]
    assert krane.sent == [(2, ""), (3, OWN)]


async def test_later_moves_belong_to_no_deploy(krane: Krane) -> None:
    """A rollback weeks later adds nothing to the trace of the old deploy."""
    krane.take(topology(2, "dep_b"), route(3, "b.test", "dep_b"))
    await krane.report(3)
    krane.take(route(4, "live.test", "dep_b"), route(5, "live.test", "dep_a"))
    await krane.report(5)
    assert len(krane.tracing.ended) == 1
    assert krane.sent[-1] == (5, "")


async def test_refused_routes_fail_the_span(krane: Krane) -> None:
    """The trace says what the data plane said."""
    krane.take(topology(2, "dep_b"), route(3, "b.test", "dep_b"))
    await krane.report(3, pb.Nack(version=3, hostname="b.test", message="bad cluster"))
    assert krane.tracing.ended == [("krane.apply_routes", PARENT, "dep_b", "b.test: bad cluster")]


async def test_no_span_is_left_open(krane: Krane) -> None:
    """krane ends while the data plane is away: the span ends with it."""
    krane.take(topology(2, "dep_b"), route(3, "b.test", "dep_b"))
    await krane.spans.close()
    assert [name for _, _, name, _ in krane.tracing.ended] == ["dep_b"]


async def test_off_costs_nothing(krane: Krane) -> None:
    """Without a receiver no task is made."""
    spans = RouteSpans(Tracing(), krane.desired, krane._send)
    spans.changed(Change(9, {ROUTE: frozenset({"a.test"})}))
    await spans.close()
    assert krane.tracing.ended == []
