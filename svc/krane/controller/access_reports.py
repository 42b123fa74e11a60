"""Reads what Envoy counted, keeps it until the api has it, and reports it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pkg.access import AccessFigures
from pkg.observability.logging import fields
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import stats_pb2
from svc.krane.controller.access_counter import AccessCounter, Step
from svc.krane.controller.stored_counters import Batches, CounterFile
from svc.krane.ingress.access_stats import Reading

log = logging.getLogger(__name__)

EVERY_S = 10.0
LAST_WITHIN_S = 2.0
WHAT = "requests"

Read = Callable[[], Awaitable[Reading]]
Send = Callable[[pb.ReportAccessRequest], Awaitable[object]]


class AccessReports:
    """One Envoy's figures on their way to the api. `close` it.

    What is reported is on disk before: after a crash each request is counted once. While the file can't be written,
    nothing is reported.

    Args:
        read: reads Envoy. Raises as `AccessStats.read` does.
        send: sends a request. Raises grpc.aio.AioRpcError.
        folder: of the file `access.state`.
        key: as of `CounterFile`.
        pool: of one thread, for what would hold up the loop; ended by `close`.
    """

    def __init__(
        self,
        region: str,
        replica_id: str,
        read: Read,
        send: Send,
        folder: Path,
        key: bytes,
        pool: ThreadPoolExecutor,
        every_s: float = EVERY_S,
    ) -> None:
        self._region = region
        self._replica_id = replica_id
        self._read = read
        self._send = send
        self._every_s = every_s
        self._file = CounterFile(folder / "access.state", b"SLKA1\n", key, f"access figures of {region}", WHAT)
        self._batches = Batches[tuple[Step, str, int]](lambda batch: self._send(self._request(batch)), WHAT)
        self._pool = pool
        self._counter: AccessCounter | None = None
        self._read_at: float | None = None

    async def run(self) -> None:
        """Reads and reports every `every_s` seconds, until cancelled."""
        found = await asyncio.get_running_loop().run_in_executor(self._pool, self._file.load, AccessCounter.restored)
        self._counter = counter = found or AccessCounter()
        while True:
            began = time.monotonic()
            await self._round(counter)
            await asyncio.sleep(max(0.0, self._every_s - (time.monotonic() - began)))

    async def close(self) -> None:
        """Reports what came since the last time, if that is quick: the replica's Envoy may end with it."""
        if self._counter is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WITHIN_S):
                    await self._round(self._counter)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _round(self, counter: AccessCounter) -> None:
        began = time.monotonic()
        try:
            reading = await self._read()
        except (OSError, ValueError, KeyError) as error:
            log.debug("envoy's figures cannot be read; trying again", extra=fields(error=str(error)))
            return
        elapsed_ms = None if self._read_at is None else round((began - self._read_at) * 1000)
        self._read_at = began
        if await asyncio.get_running_loop().run_in_executor(self._pool, self._take, counter, reading, elapsed_ms):
            await self._batches.report(counter.due(), counter.taken)

    def _take(self, counter: AccessCounter, reading: Reading, elapsed_ms: int | None) -> bool:
        """Counts and stores; whether all that was counted is on disk. Blocks."""
        is_new = counter.take(reading, elapsed_ms)
        return self._file.store(counter.to_json()) if is_new or not self._file.is_stored else True

    def _request(self, batch: Sequence[tuple[Step, str, int]]) -> pb.ReportAccessRequest:
        reports = [
            pb.AccessReport(
                deployment_id=deployment_id,
                step_s=step.step_s,
                at=step.at,
                part=step.part,
                revision=revision,
                counted_until=step.counted_until,
                is_incomplete=step.is_incomplete,
                figures=_message(step.figures[deployment_id]),
            )
            for step, deployment_id, revision in batch
        ]
        return pb.ReportAccessRequest(region=self._region, replica_id=self._replica_id, reports=reports)


def _message(figures: AccessFigures) -> stats_pb2.AccessFigures:
    return stats_pb2.AccessFigures(
        app=stats_pb2.StatusCounts(**figures.app._asdict()),
        ingress=stats_pb2.StatusCounts(**figures.ingress._asdict()),
        unanswered=figures.unanswered,
        bytes_in=figures.bytes_in,
        bytes_out=figures.bytes_out,
        latencies=[stats_pb2.LatencyCount(bucket=b, requests=n) for b, n in sorted(figures.latencies.items())],
    )
