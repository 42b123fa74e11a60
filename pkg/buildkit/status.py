"""From BuildKit's status messages to steps and lines.

Facts this rests on: vertex messages repeat and steps are known by digest; `started` and `completed` may come several
times, for cached steps in reverse order; log bytes come in any chunks; a step may fail in a build that succeeds (only
the solve's result decides).
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from pkg.buildkit.log_lines import LineSplitter, LogBudget, mark
from pkg.buildkit.pb import control_pb2 as pb
from pkg.output.redact import Redactor
from pkg.telemetry.events import BuildLine, BuildStep, LogStream, StepState

Event: TypeAlias = BuildLine | BuildStep
MAX_NAME_CHARS = 1000
LAST_LINES = 60  # of a step, to find the cause of its failure in
SPLIT_BYTES = 1 << 20  # BuildKit's: a message with that much output continues in the next one
PART_BYTES = 32 << 10
EXPORT = "exporting "  # begins the name of the last step, for which all others have ended
_POSITION = re.compile(r"\[(?:(?P<stage>\S+) )?(?P<number>\d+)/\d+\]")


@dataclass(slots=True)
class _Vertex:
    name: str = ""
    started_at: int = 0
    ended_at: int = 0
    cached: bool = False
    error: str = ""
    reported: BuildStep | None = None

    def state(self) -> StepState | None:
        """None: not started, nothing to report."""
        if self.error:
            return StepState.CANCELLED if "context canceled" in self.error else StepState.FAILED
        if self.cached:
            return StepState.CACHED
        if self.ended_at:
            return StepState.COMPLETED
        return StepState.STARTED if self.started_at else None


class Tracker:
    """The steps and output of one solve. `feed` it every message in order, then `finish` it once."""

    def __init__(self, redactor: Redactor, budget: LogBudget | None = None) -> None:
        self._redactor = redactor
        self._budget = budget or LogBudget()
        self._vertices: dict[str, _Vertex] = {}
        self._splitters: dict[tuple[str, LogStream], LineSplitter] = {}
        self._last: dict[str, deque[str]] = {}
        self._ends: dict[str, None] = {}  # of steps, not reported yet: more of their output may follow
        self._latest = 0

    @property
    def is_open(self) -> bool:
        """Whether a step has started whose end is not reported yet."""
        return bool(self._ends) or any(not step.state.is_final for step in self.steps)

    @property
    def has_all_output(self) -> bool:
        """Whether all output has arrived: the export starts when all other steps have ended."""
        return any(vertex.started_at and vertex.name.startswith(EXPORT) for vertex in self._vertices.values())

    @property
    def steps(self) -> list[BuildStep]:
        """Every step that has started, in order of first appearance."""
        return [v.reported for v in self._vertices.values() if v.reported]

    def failed_step(self) -> BuildStep | None:
        """The last step that failed, or None."""
        return next((s for s in reversed(self.steps) if s.state is StepState.FAILED), None)

    def cancelled_steps(self) -> list[BuildStep]:
        """Those that ran when the build was cut off: after `finish`, all whose end was not reported."""
        return [step for step in self.steps if step.state is StepState.CANCELLED]

    def output_of(self, step: BuildStep) -> tuple[str, ...]:
        """The last lines that the step printed, of both streams."""
        return tuple(self._last.get(step.step_id, ()))

    def feed(self, message: pb.StatusResponse) -> list[Event]:
        """The events of this message. A step's start comes before its output, its end after it."""
        return [event for events in self.feed_parts(message) for event in events]

    def feed_parts(self, message: pb.StatusResponse) -> Iterator[list[Event]]:
        """The same in parts of about PART_BYTES of output, each of which takes some milliseconds."""
        events: list[Event] = []
        touched = dict.fromkeys(vertex.digest for vertex in message.vertexes)
        if not is_continuation(message):
            events += self._report_ends()
        for vertex in message.vertexes:
            self._update(vertex)
        speaking = touched if is_split(message) else {log.vertex for log in message.logs}
        for digest in touched:
            known = self._vertices[digest]
            if known.reported is None and known.started_at and digest in speaking:
                events += self._report(digest, StepState.STARTED)
        size = 0
        for log in message.logs:
            events += self._log(log)
            size += len(log.msg)
            if size >= PART_BYTES:
                yield events
                events, size = [], 0
        for warning in message.warnings:
            text = self._redactor.text(warning.short.decode(errors="replace"))[:MAX_NAME_CHARS]
            events += self._budget.admit(BuildLine("", LogStream.SYSTEM, f"warning: {text}"))
        for digest in touched:
            state = self._vertices[digest].state()
            if state is not None and state.is_final:
                self._ends[digest] = None
            elif state is not None:
                self._ends.pop(digest, None)  # it runs again
                events += self._report(digest, state)
        if not is_split(message) and not is_continuation(message):
            events += self._report_ends()
        yield events

    def gap(self, text: str) -> list[Event]:
        """Some output is missing here: `text` says so, between lines that are not joined over the gap."""
        events: list[Event] = []
        for digest in dict.fromkeys(digest for digest, _ in self._splitters):
            events += self._rest(digest)
        return [*events, mark(text)]

    def finish(self, *, succeeded: bool = False) -> list[Event]:
        """The last events: lines without newline, the tail of a log that was too long, and steps still open.

        Args:
            succeeded: steps without a reported end are completed; else they are cancelled.
        """
        events = self._report_ends()
        for digest in dict.fromkeys(digest for digest, _ in self._splitters):
            events += self._rest(digest)
        events += self._budget.finish()
        for digest, vertex in self._vertices.items():
            if vertex.reported and not vertex.reported.state.is_final:
                if succeeded:
                    vertex.ended_at = max(vertex.started_at, self._latest)
                events += self._report(digest, StepState.COMPLETED if succeeded else StepState.CANCELLED)
        return events

    def _report_ends(self) -> list[Event]:
        events: list[Event] = []
        for digest in self._ends:
            state = self._vertices[digest].state()
            if state is not None:
                events += self._rest(digest)
                events += self._report(digest, state)
        self._ends.clear()
        return events

    def _update(self, message: pb.Vertex) -> None:
        vertex = self._vertices.setdefault(message.digest, _Vertex())
        vertex.name = self._redactor.text(message.name)[:MAX_NAME_CHARS] or vertex.name
        if message.HasField("started"):
            vertex.started_at = _ms(message.started)
            self._latest = max(self._latest, vertex.started_at)
        if message.HasField("completed"):
            vertex.ended_at = max(_ms(message.completed), vertex.started_at)
        elif message.HasField("started") and vertex.started_at > vertex.ended_at:
            vertex.ended_at = 0  # it runs again
        vertex.cached = vertex.cached or message.cached
        vertex.error = self._redactor.text(message.error)[:MAX_NAME_CHARS]

    def _report(self, digest: str, state: StepState) -> list[Event]:
        vertex = self._vertices[digest]
        ended_at = vertex.ended_at if state.is_final else 0
        step = BuildStep(step_id(digest), vertex.name, state, vertex.started_at, ended_at, vertex.error)
        if step == vertex.reported:
            return []
        vertex.reported = step
        return [step]

    def _log(self, log: pb.VertexLog) -> list[Event]:
        key = (log.vertex, LogStream.STDERR if log.stream == LogStream.STDERR else LogStream.STDOUT)
        splitter = self._splitters.setdefault(key, LineSplitter(self._redactor))
        self._latest = max(self._latest, _ms(log.timestamp))
        return self._lines(key, splitter.feed(log.msg))

    def _rest(self, digest: str) -> list[Event]:
        events: list[Event] = []
        for key in [(digest, LogStream.STDOUT), (digest, LogStream.STDERR)]:
            if splitter := self._splitters.get(key):
                events += self._lines(key, splitter.finish())
        return events

    def _lines(self, key: tuple[str, LogStream], texts: list[str]) -> list[Event]:
        self._last.setdefault(step_id(key[0]), deque(maxlen=LAST_LINES)).extend(text[:MAX_NAME_CHARS] for text in texts)
        return [line for text in texts for line in self._budget.admit(BuildLine(step_id(key[0]), key[1], text))]


def is_split(message: pb.StatusResponse) -> bool:
    """Whether the output may continue in the next message, as it has reached the size of one."""
    return bool(message.logs) and message.ByteSize() >= SPLIT_BYTES


def is_continuation(message: pb.StatusResponse) -> bool:
    """Whether it may be the rest of an earlier message: such a rest reports no steps."""
    return bool(message.logs) and not message.vertexes and not message.statuses


def step_id(digest: str) -> str:
    """Short name of a vertex: 16 hex digits of its digest."""
    return digest.removeprefix("sha256:")[:16]


def in_display_order(steps: list[BuildStep]) -> list[BuildStep]:
    """Internal steps as they came, then by "[stage n/m]": the clock's order differs from the Dockerfile's. Stable."""

    def key(step: BuildStep) -> tuple[int, str, int]:
        match = _POSITION.match(step.name)
        return (1, match["stage"] or "", int(match["number"])) if match else (0, "", 0)

    return sorted(steps, key=key)


def _ms(time: Timestamp) -> int:
    return time.seconds * 1000 + time.nanos // 1_000_000
