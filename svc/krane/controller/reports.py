"""Reports instances to the api: only what changed, in batches, until the api accepts it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import grpc.aio

from pkg.observability.logging import fields
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.instance import STOPPED

log = logging.getLogger(__name__)

MAX_BATCH = 200
MAX_BYTES = 3 << 20  # of one request: the api takes 4 MiB, and the log lines of a hundred failed instances are more

Send = Callable[[pb.ReportInstancesRequest], Awaitable[object]]


class Reporter:
    """The latest report of every instance, and which of them the api has not taken yet.

    One request is under way at a time, so reports of one instance arrive in order.

    Args:
        term: of this replica's leadership; while it is None nothing is sent, and `lead` is called after that.
    """

    def __init__(
        self, region: str, send: Send, clock: Callable[[], int], term: Callable[[], int | None] = lambda: 0
    ) -> None:
        self._region = region
        self._send = send
        self._clock = clock
        self._term = term
        self._latest: dict[str, pb.InstanceReport] = {}
        self._taken: dict[str, bytes] = {}
        self._dirty: dict[str, None] = {}  # in order of change
        self._is_complete_due = False
        self._has_work = asyncio.Event()
        self._last_ms = 0

    def now(self) -> int:
        """Epoch ms for observed_at; never the same twice, so that the later report wins."""
        self._last_ms = max(self._clock(), self._last_ms + 1)
        return self._last_ms

    def put(self, report: pb.InstanceReport) -> None:
        """Takes a report; sent at once unless it says what the api knows already. STOPPED is an instance's last one."""
        if report.state == STOPPED and self._term() is None:
            self._forget(report.instance_id)
            return
        self._latest[report.instance_id] = report
        if self._taken.get(report.instance_id) != _fingerprint(report):
            self._dirty[report.instance_id] = None
            self._has_work.set()

    def lead(self) -> None:
        """This replica leads from now on: it reports everything, as seen now, whatever the api was told before."""
        self._taken.clear()
        for name, report in self._latest.items():
            again = pb.InstanceReport()
            again.CopyFrom(report)
            again.observed_at = self.now()
            self._latest[name] = again
            self._dirty[name] = None
        self._has_work.set()

    def report_all(self) -> None:
        """Reports every instance to the api, which counts all others that it knows as gone."""
        self._is_complete_due = True
        self._has_work.set()

    async def run(self) -> None:
        """Sends until cancelled."""
        backoff = Backoff(0.1, 5)
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            while (self._dirty or self._is_complete_due) and (term := self._term()) is not None:
                try:
                    await self._flush(term)
                    backoff.reset()
                except grpc.aio.AioRpcError as error:
                    log.warning(
                        "the api did not take a report; trying again",
                        extra=fields(grpc_status=error.code().name, error=error.details()),
                    )
                    await asyncio.sleep(backoff.next_s())

    async def _flush(self, term: int) -> None:
        is_complete = self._is_complete_due
        batch = list(self._latest.values()) if is_complete else self._next_batch()
        self._is_complete_due = False
        request = pb.ReportInstancesRequest(
            region=self._region, instances=fitting(batch), complete=is_complete, leader_term=term
        )
        try:
            await self._send(request)
        except BaseException:
            self._is_complete_due = self._is_complete_due or is_complete
            raise
        for report in batch:
            self._mark_taken(report)

    def _next_batch(self) -> list[pb.InstanceReport]:
        """The changes that were first, as many as one request holds; at least one."""
        batch: list[pb.InstanceReport] = []
        left = MAX_BYTES
        for name in list(self._dirty)[:MAX_BATCH]:
            left -= self._latest[name].ByteSize()
            if batch and left < 0:
                break
            batch.append(self._latest[name])
        return batch

    def _mark_taken(self, report: pb.InstanceReport) -> None:
        name = report.instance_id
        self._taken[name] = _fingerprint(report)
        if self._latest.get(name) is not report:
            return  # it changed while the request was under way
        self._dirty.pop(name, None)
        if report.state == STOPPED:
            self._forget(name)

    def _forget(self, name: str) -> None:
        for known in (self._latest, self._taken, self._dirty):
            known.pop(name, None)


def fitting(reports: Sequence[pb.InstanceReport]) -> Sequence[pb.InstanceReport]:
    """The reports, with as many of their last log lines as fit into one request: a complete one can't be divided."""
    lines = max((len(report.log_tail) for report in reports), default=0)
    while lines and sum(report.ByteSize() for report in reports) > MAX_BYTES:
        lines //= 2
        reports = [_with_lines(report, lines) for report in reports]
    return reports


def _with_lines(report: pb.InstanceReport, lines: int) -> pb.InstanceReport:
    if len(report.log_tail) <= lines:
        return report
    shorter = pb.InstanceReport()
    shorter.CopyFrom(report)
    del shorter.log_tail[: len(report.log_tail) - lines]
    return shorter


def _fingerprint(report: pb.InstanceReport) -> bytes:
    """Equal for two reports that say the same at different times."""
    plain = pb.InstanceReport()
    plain.CopyFrom(report)
    plain.observed_at = 0
    return plain.SerializeToString(deterministic=True)
