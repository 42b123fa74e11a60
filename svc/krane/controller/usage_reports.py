"""Measures what instances use, keeps it until the api has it, and reports it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pkg.desired.processes import split_workload
from pkg.errors import SealiftError
from pkg.observability.logging import fields
from sealift.ctrl.v1 import usage_pb2 as pb
from svc.krane.controller.stored_counters import Batches, CounterFile
from svc.krane.controller.usage_meter import Due, Seen, Series, UsageMeter
from svc.krane.runtime.port import Observation, Runtime

log = logging.getLogger(__name__)

EVERY_S = 15.0
LAST_WITHIN_S = 2.0
WHAT = "what instances use"
MAX_SEEN = 10_000

Send = Callable[[pb.ReportUsageRequest], Awaitable[object]]


class UsageReports:
    """The usage of a region's instances on its way to the api. `close` it.

    What is reported is on disk before: a crash of this process loses nothing that the runtime counts, and of memory the
    time since the last measurement. While the file can't be written, nothing is reported.

    Args:
        send: sends a request. Raises grpc.aio.AioRpcError.
        folder: of the file `usage.state`.
        key: as of `CounterFile`.
        clock: epoch milliseconds.
        term: of this replica's leadership; while it is None nothing is measured.
    """

    def __init__(
        self,
        region: str,
        runtime: Runtime,
        send: Send,
        folder: Path,
        key: bytes,
        clock: Callable[[], int],
        term: Callable[[], int | None] = lambda: 0,
        every_s: float = EVERY_S,
    ) -> None:
        self._region = region
        self._runtime = runtime
        self._send = send
        self._clock = clock
        self._term = term
        self._every_s = every_s
        self._file = CounterFile(folder / "usage.state", b"SLKU1\n", key, f"usage of {region}", WHAT)
        self._batches = Batches[Due](lambda batch: self._send(self._request(batch)), WHAT)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="usage")
        self._meter: UsageMeter | None = None
        self._seen: dict[str, Seen] = {}

    def seen(self, seen: Observation | None) -> None:
        """An instance was observed."""
        if seen is None or self._term() is None:
            return
        self._seen.pop(seen.uid, None)
        self._seen[seen.uid] = Seen.of(seen)
        while len(self._seen) > MAX_SEEN:
            del self._seen[next(iter(self._seen))]

    async def run(self, engine_found: asyncio.Event) -> None:
        """Measures and reports every `every_s` seconds, until cancelled."""
        loop = asyncio.get_running_loop()
        self._meter = await loop.run_in_executor(self._pool, self._file.load, UsageMeter.restored)
        await engine_found.wait()
        while True:
            began = time.monotonic()
            if (term := self._term()) is not None:
                await self._round(term)
            await asyncio.sleep(max(0.0, self._every_s - (time.monotonic() - began)))

    async def close(self) -> None:
        """Reports what is stored and was not reported, if that is quick."""
        if self._meter is not None and self._file.is_stored:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WITHIN_S):
                    await self._batches.report(self._meter.due(), self._meter.taken)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _round(self, term: int) -> None:
        if self._meter is None or self._meter.term != term:
            self._meter = UsageMeter(term, self._clock())
        meter = self._meter
        try:
            measured = await self._runtime.usage()
        except SealiftError as error:
            log.info("what instances use cannot be measured; trying again", extra=fields(error=str(error)))
            return
        meter.take(measured, self._seen, self._clock())
        if await asyncio.get_running_loop().run_in_executor(self._pool, self._file.store, meter.to_json()):
            await self._batches.report(meter.due(), meter.taken)

    def _request(self, batch: Sequence[Due]) -> pb.ReportUsageRequest:
        return pb.ReportUsageRequest(region=self._region, reports=[_report(source, one) for source, one, _ in batch])


def _report(source: str, series: Series) -> pb.UsageReport:
    return pb.UsageReport(
        deployment_id=split_workload(series.deployment_id)[0],
        instance_id=series.instance_id,
        source_id=source,
        began_at=series.began_at,
        seq=series.seq,
        measured_at=series.measured_at,
        cpu_ns=series.cpu_ns.total or 0,
        memory_byte_s=series.memory_byte_ms // 1000,
        measured_ms=series.measured_ms,
        restarts=series.restarts.total or 0,
        network_rx_bytes=series.network_rx_bytes.total,
        network_tx_bytes=series.network_tx_bytes.total,
        disk_read_bytes=series.disk_read_bytes.total,
        disk_write_bytes=series.disk_write_bytes.total,
        cpu_millicores=series.cpu_millicores,
        memory_bytes=series.memory_bytes,
    )
