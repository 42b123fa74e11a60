"""Converts a build's events to lines and steps, and keeps the last lines of each step for failures. Pure."""

from collections import deque
from dataclasses import dataclass

from sealift.cli.format.enum_names import build_step_state_name, stream_name
from sealift.cli.format.text import clean
from sealift.ctrl.v1 import build_pb2

TAIL_LINES = 20
MAX_STEPS = 2000
_GOOD_ENDS = ("completed", "cached")
_ENDED = (*_GOOD_ENDS, "failed", "cancelled")
# BuildKit's internal steps: shown only when they fail or are slow.
_PLUMBING = ("[internal]", "copy /context /", "exporting to image")
PLUMBING_SHOWN_MS = 1000


def is_plumbing(name: str, state: str, duration_ms: int) -> bool:
    """Whether a step is a quick and successful internal one of BuildKit, not one of the Dockerfile."""
    return state in _GOOD_ENDS and duration_ms < PLUMBING_SHOWN_MS and name.startswith(_PLUMBING)


@dataclass(frozen=True)
class BuildLine:
    """One output line of a build step, without terminal escapes."""

    seq: int
    step: str
    stream: str
    text: str


@dataclass(frozen=True)
class BuildStepEvent:
    """A build step that started or ended; state is e.g. "started", "cached"."""

    seq: int
    name: str
    state: str
    duration_ms: int
    error: str

    @property
    def is_ended(self) -> bool:
        """Whether the step has ended."""
        return self.state in _ENDED

    @property
    def is_plumbing(self) -> bool:
        """See `is_plumbing`."""
        return is_plumbing(self.name, self.state, self.duration_ms)


class BuildLog:
    """Converts events to lines and steps, and keeps each step's name and last lines."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._tails: dict[str, deque[str]] = {}
        self._states: dict[str, tuple[int, str]] = {}
        self._failed: str | None = None
        self._last: str | None = None

    def feed(self, event: build_pb2.GetBuildLogsResponse) -> BuildLine | BuildStepEvent | None:
        """The line or step of an event; None for the end of the build, and for a repeated event."""
        kind = event.WhichOneof("event")
        if kind == "step":
            return self._step(event)
        if kind == "line":
            line = event.line
            text = clean(line.text)
            if line.step_id not in self._tails and len(self._tails) < MAX_STEPS:
                self._tails[line.step_id] = deque(maxlen=TAIL_LINES)
            if line.step_id in self._tails:
                self._tails[line.step_id].append(text)
                self._last = line.step_id
            return BuildLine(event.seq, self._names.get(line.step_id, ""), stream_name(line.stream), text)
        return None

    def _step(self, event: build_pb2.GetBuildLogsResponse) -> BuildStepEvent | None:
        step = event.step
        state = build_step_state_name(step.state)
        before = self._states.get(step.step_id, (0, ""))
        # BuildKit reports a completed step again as cached when another step uses it.
        if before == (event.attempt, state) or (
            before[0] == event.attempt and before[1] in _GOOD_ENDS and state in _GOOD_ENDS
        ):
            return None
        if step.step_id in self._states or len(self._states) < MAX_STEPS:
            self._states[step.step_id] = (event.attempt, state)
        name = clean(step.name)
        if len(self._names) < MAX_STEPS:
            self._names[step.step_id] = name
        if state == "failed":
            self._failed = step.step_id
        duration = step.ended_at - step.started_at if step.started_at and step.ended_at else 0
        return BuildStepEvent(event.seq, name, state, max(0, duration), clean(step.error))

    def failed_step(self) -> str:
        """Name of the failed step; "" if none failed."""
        return self._names.get(self._failed or "", "")

    def tail(self) -> list[str]:
        """The last lines of the failed step, else of the step that printed last."""
        return list(self._tails.get(self._failed or self._last or "", ()))
