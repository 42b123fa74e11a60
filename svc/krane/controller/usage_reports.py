"""Measures what instances use, keeps it until the api has it, and reports it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc.aio

from pkg.desired.processes import split_workload
from pkg.errors import SealiftError
from pkg.observability.logging import fields
from sealift.ctrl.v1 import usage_pb2 as pb
from svc.krane.controller.sealed_file import SealedFile
from svc.krane.controller.usage_meter import Seen, Series, UsageMeter
from svc.krane.runtime.port import Observation, Runtime

log = logging.getLogger(__name__)

EVERY_S = 15.0
LAST_WITHIN_S = 2.0
MAX_BATCH = 500
MAX_SEEN = 10_000

Send = Callable[[pb.ReportUsageRequest], Awaitable[object]]


class UsageReports:
    """The usage of a region's instances on its way to the api. `close` it.

    What is reported is on disk before: a crash of this process loses nothing that the runtime counts, and of memory the
    time since the last measurement. While the file can't be written, nothing is reported.

    Args:
        send: sends a request. Raises grpc.aio.AioRpcError.
        folder: of the file `usage.state`.
        key: as of `SealedFile`.
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
        self._file = SealedFile(folder / "usage.state", b"SLKU1\n", key, f"usage of {region}".encode())
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="usage")
        self._meter: UsageMeter | None = None
        self._is_stored = False
        self._is_refused = False
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
        self._meter = await asyncio.get_running_loop().run_in_executor(self._pool, self._load)
        await engine_found.wait()
        while True:
            began = time.monotonic()
            if (term := self._term()) is not None:
                await self._round(term)
            await asyncio.sleep(max(0.0, self._every_s - (time.monotonic() - began)))

    async def close(self) -> None:
        """Reports what is stored and was not reported, if that is quick."""
        if self._meter is not None and self._is_stored:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WITHIN_S):
                    await self._report(self._meter)
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
        self._is_stored = await asyncio.get_running_loop().run_in_executor(self._pool, self._store, meter.to_json())
        if self._is_stored:
            await self._report(meter)

    def _load(self) -> UsageMeter | None:
        self._file.sweep()
        try:
            (content,) = self._file.load()
            return UsageMeter.restored(content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            extra = fields(path=str(self._file.path), error=str(error))
            log.warning("what instances used since the last report is lost", extra=extra)
            return None

    def _store(self, content: bytes) -> bool:
        try:
            self._file.store(self._file.encode([content]))
        except OSError as error:
            log.error("a file of krane cannot be stored", extra=fields(path=str(self._file.path), error=str(error)))
            return False
        return True

    async def _report(self, meter: UsageMeter) -> None:
        due = meter.due()
        for first in range(0, len(due), MAX_BATCH):
            batch = due[first : first + MAX_BATCH]
            told = [(series, series.seq) for _, series in batch]
            try:
                await self._send(self._request(batch))
                self._is_refused = False
            except grpc.aio.AioRpcError as error:
                extra = fields(grpc_status=error.code().name, error=error.details())
                if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                    if not self._is_refused:  # an older api does not know the call, for as long as it runs
                        log.info("the api did not take what instances use; trying again", extra=extra)
                    self._is_refused = True
                    return
                # it would refuse them for ever
                log.error("the api refuses what instances use; it is given up", extra=extra)
            meter.taken(told)

    def _request(self, batch: Sequence[tuple[str, Series]]) -> pb.ReportUsageRequest:
        return pb.ReportUsageRequest(region=self._region, reports=[_report(source, one) for source, one in batch])


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
