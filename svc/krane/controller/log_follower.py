"""Follows what one instance prints, and holds it until the api has stored it."""

import asyncio
import hashlib
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from pkg.errors import SealiftError
from pkg.observability.logging import fields
from pkg.output.redact import Redactor
from sealift.ctrl.v1 import log_pb2 as pb
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.log_lines import LineAssembler, LogPosition, RawLine, Resume, pieces, texts
from svc.krane.controller.log_throttle import LogLimits, Throttle
from svc.krane.runtime.port import InstanceStatus, LogRecord, Observation, Runtime

log = logging.getLogger(__name__)

MAX_HELD_BYTES = 1 << 20  # then the instance's log is not read on: the runtime keeps the rest
MAX_CHUNK_BYTES = 256 << 10
LINE_BYTES = 64  # of a line besides its text
RECHECK_S = 5.0
QUIET_S = 1.0
# Without a line for so long, a log is asked for again: who truncates an engine's file of it (logrotate's copytruncate,
# https://github.com/moby/moby/issues/45728), or a node that never begins to answer, leaves a stream without lines.
SILENT_S = 600.0
MAX_COUNTED_BYTES = 16 << 20  # of what is cut; to read on only for counting it would cost the machine too much
DROPPED = "some lines may be missing here: the runtime had dropped them before they were read"


@dataclass(frozen=True)
class Chunk:
    """Lines that are reported together, and where the log goes on after them."""

    lines: Sequence[pb.ReportedLine]
    resume: str
    size: int


class _TooMuchError(Exception):
    """The app prints more than is worth reading."""


class LogFollower:
    """One instance's log on its way to the api. `run` ends once the instance is gone and everything was read.

    Args:
        seen: the instance, as it was observed first.
        wake: called when there is something to report.

    Attributes:
        source_id: of this very instance.
        head: how much the api has; None until it said so (`begin`).
    """

    def __init__(
        self, seen: Observation, runtime: Runtime, redactor: Redactor, limits: LogLimits, wake: Callable[[], None]
    ) -> None:
        self.source_id = source_id(seen.uid)
        self.deployment_id = seen.deployment_id
        self.instance_id = seen.name
        self.head: pb.LogHead | None = None
        self._seen = seen
        self._runtime = runtime
        self._redactor = redactor
        self._limits = limits
        self._throttle = Throttle(limits, time.monotonic)
        self._wake = wake
        self._begun = asyncio.Event()
        self._room = asyncio.Event()
        self._noticed = asyncio.Event()
        self._chunks: deque[Chunk] = deque()
        self._held = 0
        self._seq = self._at = 0
        self._resume = Resume()
        self._cut_lines = self._cut_bytes = 0
        self._cut_at = 0.0

    def begin(self, head: pb.LogHead) -> None:
        """The api has this much of it: reading begins there."""
        if self.head is not None:
            return
        self.head, self._seq, self._at = head, head.seq, head.at
        try:
            self._resume = Resume.parse(head.resume)
        except (ValueError, TypeError):  # of another version of krane
            log.warning("a log is read from its begin", extra=fields(instance_id=self.instance_id))
        self._begun.set()

    def notice(self, seen: Observation) -> None:
        """The instance was observed again."""
        self._seen = seen
        self._noticed.set()

    def due(self, max_bytes: int) -> list[Chunk]:
        """The first chunks that were not reported yet: as many as fit, one at least if there is one."""
        found: list[Chunk] = []
        for chunk in self._chunks:
            max_bytes -= chunk.size
            if found and max_bytes < 0:
                break
            found.append(chunk)
        return found

    def reported(self, count: int) -> None:
        """The api has stored, or refuses, the first chunks."""
        for _ in range(count):
            self._held -= self._chunks.popleft().size
        self._room.set()

    @property
    def has_work(self) -> bool:
        """Whether there is something to report."""
        return bool(self._chunks)

    def tick(self) -> None:
        """To be called about every second: says what was cut, once that is over."""
        if self._cut_lines and time.monotonic() - self._cut_at > QUIET_S:
            self._end_cut()

    async def run(self) -> None:
        """Follows until the instance is gone. Faults of the runtime are tried again."""
        await self._begun.wait()
        backoff = Backoff(0.2, RECHECK_S)
        while True:
            before = _life(self._seen)
            try:
                await self._follow()
                seen = await self._runtime.observe(self._seen.deployment_id, self._seen.replica)
            except SealiftError as error:
                extra = fields(instance_id=self.instance_id, error=str(error))
                log.info("the log of an instance can't be read; trying again", extra=extra)
                await asyncio.sleep(backoff.next_s())
                continue
            except _TooMuchError:
                await self._skip()
                continue
            if seen is None or source_id(seen.uid) != self.source_id:
                self._end_cut()
                return
            self._seen = seen
            if _life(seen) != before:
                backoff.reset()
            await self._wait(seen, backoff)

    async def _wait(self, seen: Observation, backoff: Backoff) -> None:
        """Until there may be more to read."""
        if seen.status is not InstanceStatus.EXITED:
            await asyncio.sleep(backoff.next_s())
            return
        while True:
            self._noticed.clear()
            try:
                async with asyncio.timeout(RECHECK_S):
                    await self._noticed.wait()
            except TimeoutError:
                return
            if _life(self._seen) != _life(seen):
                return

    async def _follow(self) -> None:
        position, assembler = LogPosition(self._resume), LineAssembler()
        async with aclosing(self._runtime.logs(self.instance_id, self._seen.uid, self._resume.since_s)) as records:
            while (some := await _next(records)) is not None:
                lines = [line for line in assembler.feed(some) if position.take(line.at_ns)]
                if not lines:
                    continue
                if position.missing:
                    position.missing = 0
                    self._put([self._mark(DROPPED)], 0)
                self._resume = position.resume()
                await self._take(lines)

    async def _take(self, lines: Sequence[RawLine]) -> None:
        size = sum(len(line.data) + LINE_BYTES for line in lines)
        if not self._throttle.allows(size):
            self._cut_lines += len(lines)
            self._cut_bytes += size - LINE_BYTES * len(lines)
            self._cut_at = time.monotonic()
            if self._cut_bytes > MAX_COUNTED_BYTES:
                raise _TooMuchError
            return
        self._end_cut()
        self._put(self._reported(lines), size)
        while self._held > MAX_HELD_BYTES:
            self._room.clear()
            await self._room.wait()

    async def _skip(self) -> None:
        """Leaves the log alone for some time, and goes on at its end."""
        began = time.monotonic()
        await asyncio.sleep(self._throttle.opens_in_s)
        self._resume = Resume(since_s=int(time.time()))
        self._end_cut(f", and what it printed in the {time.monotonic() - began:.0f} s after them")

    def _end_cut(self, more: str = "") -> None:
        if not self._cut_lines:
            return
        lines, size, self._cut_lines, self._cut_bytes = self._cut_lines, self._cut_bytes, 0, 0
        rate = self._limits.bytes_per_s >> 10
        text = (
            f"{lines} lines of {size >> 10} KiB are missing here{more}: the app printed more than {rate} KiB in a "
            f"second, for longer than a burst of {self._limits.burst_bytes >> 20} MiB lasts"
        )
        log.info("output of an app was cut", extra=fields(instance_id=self.instance_id, lines=lines))
        self._put([self._mark(text)], 0)

    def _mark(self, text: str) -> pb.ReportedLine:
        return self._line(self._at, pb.LOG_STREAM_SYSTEM, text, is_partial=False)

    def _reported(self, lines: Sequence[RawLine]) -> list[pb.ReportedLine]:
        found = []
        for line, text in zip(lines, texts(lines, self._redactor), strict=False):
            stream = pb.LOG_STREAM_STDERR if line.is_stderr else pb.LOG_STREAM_STDOUT
            *begin, end = pieces(text)
            at = line.at_ns // 1_000_000
            found += [self._line(at, stream, piece, is_partial=True) for piece in begin]
            found.append(self._line(at, stream, end, is_partial=False))
        return found

    def _line(self, at: int, stream: pb.LogStream.ValueType, text: str, *, is_partial: bool) -> pb.ReportedLine:
        self._seq += 1
        self._at = max(self._at, at)
        return pb.ReportedLine(seq=self._seq, at=self._at, stream=stream, text=text, is_partial=is_partial)

    def _put(self, lines: Sequence[pb.ReportedLine], size: int) -> None:
        self._chunks.append(Chunk(lines, self._resume.to_text(), size + LINE_BYTES))
        self._held += size + LINE_BYTES
        self._wake()


async def _next(records: AsyncGenerator[list[LogRecord]]) -> list[LogRecord] | None:
    """What comes next; None at the end, and after SILENT_S."""
    try:
        async with asyncio.timeout(SILENT_S):
            return await anext(records, None)
    except TimeoutError:
        return None


def source_id(uid: str) -> str:
    """Of the instance that the runtime knows by this uid: 20 hexadecimal digits."""
    return hashlib.sha256(uid.encode()).hexdigest()[:20]


def _life(seen: Observation) -> tuple[int, int]:
    """Another one whenever the app was started again."""
    return seen.started_at_ms, seen.restarts
