"""Stores the steps and lines of one attempt in small batches, at most 50 ms after they came."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType

from pkg.errors import Unavailable
from pkg.observability.logging import fields
from pkg.telemetry.events import BuildEvent, BuildLine, BuildStep, LogStream, first_seq
from pkg.telemetry.port import BuildTelemetry

FLUSH_S = 0.05
BATCH_EVENTS = 256
# When the store is slower than the build, the build waits: memory stays bounded and nothing is lost.
MAX_WAITING_EVENTS = 4096

Fence = Callable[[], Awaitable[object]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Event:
    at: int
    event: BuildLine | BuildStep


class TelemetrySink:
    """`port.BuildSink` of one attempt, as an async context: leaving it stores what is left.

    It numbers what it stores from the first number of the attempt on, so an attempt has one sink. A store that is away
    or full costs lines, never the build: the next ones that can be stored begin with how many are missing.

    Args:
        telemetry: where the events go.
        build_id: of the build.
        attempt: of the build, from 1.
        fence: called before each batch; raises Aborted `build.attempt_superseded` when another attempt has taken over,
            by the control database. That comes out of the next call of the sink, or of the exit.
    """

    def __init__(self, telemetry: BuildTelemetry, build_id: str, attempt: int, fence: Fence) -> None:
        self._telemetry = telemetry
        self._build_id = build_id
        self._attempt = attempt
        self._fence = fence
        self._next_seq = first_seq(attempt)
        self._waiting: list[_Event] = []
        self._news = asyncio.Event()
        self._full = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closing = False
        self._lost = 0

    async def __aenter__(self) -> "TelemetrySink":
        self._writer = asyncio.create_task(self._write(), name=f"build-log-{self._build_id}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing = True
        self._news.set()
        self._full.set()
        try:
            await self._writer
        except Exception:
            if error is None:  # else the build's own error says more
                raise

    async def line(self, step_id: str, stream: LogStream, text: str) -> None:
        """See `BuildSink.line`."""
        await self._add(BuildLine(step_id, stream, text))

    async def step(self, step: BuildStep) -> None:
        """See `BuildSink.step`."""
        await self._add(step)

    async def _add(self, event: BuildLine | BuildStep) -> None:
        if self._writer.done():
            self._writer.result()
        await self._room.wait()
        self._waiting.append(_Event(_now_ms(), event))
        self._news.set()
        if len(self._waiting) >= BATCH_EVENTS:
            self._full.set()
        if len(self._waiting) >= MAX_WAITING_EVENTS:
            self._room.clear()

    async def _write(self) -> None:
        try:
            while not self._closing or self._waiting:
                await self._news.wait()
                self._news.clear()
                if len(self._waiting) < BATCH_EVENTS and not self._closing:
                    try:
                        async with asyncio.timeout(FLUSH_S):
                            await self._full.wait()
                    except TimeoutError:
                        pass
                self._full.clear()
                batch, self._waiting = self._waiting, []
                self._room.set()
                if batch:
                    await self._store(batch)
        finally:
            self._room.set()  # releases callers that wait for a writer that has ended

    async def _store(self, batch: list[_Event]) -> None:
        lost = self._lost
        if lost:
            text = f"{lost} lines and steps before this one are missing: the store of build logs was away"
            batch = [_Event(_now_ms(), BuildLine("", LogStream.SYSTEM, text)), *batch]
        try:
            await self._fence()
            first, self._next_seq = self._next_seq, self._next_seq + len(batch)
            events = [BuildEvent(self._attempt, seq, item.at, item.event) for seq, item in enumerate(batch, first)]
            # numbers of a call that failed stay unused: it may have stored some of them
            await self._telemetry.append(self._build_id, events)
        except Unavailable as away:
            self._lost = lost + len(batch) - bool(lost)
            if not lost:
                log.warning("build log not stored: %s", away.message, extra=fields(build_id=self._build_id))
            return
        self._lost = 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
