"""Reports of instances."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio

from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.instance import FAILED, HEALTHY, STARTING, STOPPED
from svc.krane.controller.reports import Reporter


class Api:
    """Takes reports, or refuses the next ones."""

    def __init__(self) -> None:
        self.taken: list[pb.ReportInstancesRequest] = []
        self.refuse = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._moved = asyncio.Condition()

    async def send(self, request: pb.ReportInstancesRequest) -> None:
        await self.gate.wait()
        if self.refuse:
            self.refuse -= 1
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="away"
            )
        async with self._moved:
            self.taken.append(request)
            self._moved.notify_all()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S), self._moved:
            await self._moved.wait_for(lambda: len(self.taken) >= count)


@asynccontextmanager
async def running(reporter: Reporter) -> AsyncIterator[None]:
    task = asyncio.create_task(reporter.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def report(reporter: Reporter, name: str, state: int = HEALTHY, reason: str = "") -> pb.InstanceReport:
    return pb.InstanceReport(
        instance_id=name,
        state=state,  # type: ignore[arg-type]
        reason=reason,
        observed_at=reporter.now(),
    )


async def test_the_same_news_is_sent_once() -> None:
    # Promise: a report repeats only when it says something else; the time alone is nothing else.
    api = Api()
    reporter = Reporter("local", api.send, lambda: 1000)
    async with running(reporter):
        reporter.put(report(reporter, "a", STARTING))
        await api.until(1)
        reporter.put(report(reporter, "a", STARTING))
        reporter.put(report(reporter, "a", HEALTHY))
        await api.until(2)
    assert [one.state for request in api.taken for one in request.instances] == [STARTING, HEALTHY]


async def test_times_only_grow() -> None:
    # Promise: the later report wins even within one millisecond or when the clock steps back.
    reporter = Reporter("local", Api().send, iter([5, 5, 3, 9]).__next__)
    assert [reporter.now() for _ in range(4)] == [5, 6, 7, 9]


async def test_a_refused_report_is_sent_again_in_its_latest_form() -> None:
    # Promise: nothing is lost while the api is away, and nothing old is said when it is back.
    api = Api()
    api.refuse = 2
    reporter = Reporter("local", api.send, lambda: 1000)
    async with running(reporter):
        reporter.put(report(reporter, "a", STARTING))
        reporter.put(report(reporter, "a", HEALTHY))
        await api.until(1)
    assert [one.state for request in api.taken for one in request.instances] == [HEALTHY]


async def test_news_during_a_request_follow_it() -> None:
    # Promise: a change while a request is under way is not swallowed by its success.
    api = Api()
    api.gate.clear()
    reporter = Reporter("local", api.send, lambda: 1000)
    async with running(reporter):
        reporter.put(report(reporter, "a", STARTING))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reporter.put(report(reporter, "a", HEALTHY))
        api.gate.set()
        await api.until(2)
    assert [one.state for request in api.taken for one in request.instances] == [STARTING, HEALTHY]


async def test_a_complete_report_names_all_and_no_stopped_one_twice() -> None:
    # Promise: complete means complete; a stopped instance is reported once, then gone.
    api = Api()
    reporter = Reporter("local", api.send, lambda: 1000)
    async with running(reporter):
        reporter.put(report(reporter, "a"))
        reporter.put(report(reporter, "b", STOPPED))
        await api.until(1)
        reporter.report_all()
        await api.until(2)
    assert [one.instance_id for one in api.taken[-1].instances] == ["a"]
    assert api.taken[-1].complete
    assert not api.taken[0].complete


async def test_no_request_is_larger_than_the_api_takes() -> None:
    # Promise: however many apps fail at once, each report arrives: one that is refused would come again for ever.
    api = Api()
    reporter = Reporter("local", api.send, lambda: 1000)
    names = {f"app-{number}" for number in range(150)}
    async with running(reporter):
        for name in sorted(names):
            failed = report(reporter, name, FAILED)
            failed.log_tail.extend(f"{number} {'x' * 1020}" for number in range(40))
            reporter.put(failed)
        await api.until(2)
        reporter.report_all()
        async with asyncio.timeout(WAIT_S):
            while not api.taken[-1].complete:
                await api.until(len(api.taken) + 1)
    parts, complete = [r for r in api.taken if not r.complete], api.taken[-1]
    assert all(len(one.log_tail) == 40 for request in parts for one in request.instances)
    assert {one.instance_id for one in complete.instances} == names
    assert {one.log_tail[-1][:3] for one in complete.instances} == {"39 "}
    assert max(request.ByteSize() for request in api.taken) < 4 << 20


async def test_who_does_not_lead_reports_nothing() -> None:
    """A new leader reports everything, as seen now, under its term; what ended before that is forgotten."""
    api, clock = Api(), iter(range(1000, 2000))
    term: int | None = None
    reporter = Reporter("local", api.send, clock.__next__, lambda: term)
    async with running(reporter):
        reporter.put(report(reporter, "a"))
        reporter.put(report(reporter, "b"))
        reporter.put(report(reporter, "b", STOPPED))
        reporter.report_all()
        await asyncio.sleep(0)
        assert api.taken == []
        term, before = 3, reporter.now()
        reporter.lead()
        await api.until(1)
        assert [(one.instance_id, one.state) for one in api.taken[0].instances] == [("a", HEALTHY)]
        assert (api.taken[0].leader_term, api.taken[0].complete) == (3, True)
        assert api.taken[0].instances[0].observed_at > before
        term = 4
        reporter.lead()
        await api.until(2)
        assert [one.instance_id for one in api.taken[1].instances] == ["a"], "whatever the api was told before"
        assert api.taken[1].leader_term == 4
