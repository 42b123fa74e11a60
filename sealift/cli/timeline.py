"""The steps of a deployment as a timeline: which began and which ended since the last look. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

STEPS = ("queued", "building", "deploying", "network", "finalizing")
# For people: while it lasts, and when it is over.
_WORDS = {
    "queued": ("Queued", "Queued"),
    "building": ("Building", "Built"),
    "deploying": ("Starting", "Started"),
    "network": ("Moving traffic", "Traffic moved"),
    "finalizing": ("Finishing", "Finished"),
}


def active_label(step: str) -> str:
    """What a step does, e.g. "Moving traffic"; the name of one newer than this program."""
    return _WORDS.get(step, (step.capitalize(),))[0]


def done_label(step: str) -> str:
    """What a step did, e.g. "Traffic moved"."""
    return _WORDS.get(step, (step.capitalize(),))[-1]


class Phase(Enum):
    """What happened to a step."""

    STARTED = "started"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True)
class StepEvent:
    """A step that began or ended.

    Attributes:
        name: one of STEPS, or one newer than this program.
        phase: what happened.
        started_at: epoch milliseconds, the server's clock.
        duration_ms: of an ended step, else 0.
        error: of a failed step, else "".
    """

    name: str
    phase: Phase
    started_at: int = 0
    duration_ms: int = 0
    error: str = ""


class _Step(Protocol):
    name: str
    started_at: int
    ended_at: int
    error: str


class Timeline:
    """Remembers what was told of each step. A repeat of the same state tells nothing."""

    def __init__(self) -> None:
        self._told: dict[str, Phase] = {}

    def feed(self, steps: Sequence[_Step]) -> list[StepEvent]:
        """What is new in `steps`, in their order."""
        events: list[StepEvent] = []
        for step in steps:
            told = self._told.get(step.name)
            if told is None and step.started_at:
                events.append(StepEvent(step.name, Phase.STARTED, step.started_at))
                told = self._told[step.name] = Phase.STARTED
            if told is Phase.STARTED and step.ended_at:
                phase = Phase.FAILED if step.error else Phase.ENDED
                duration = max(0, step.ended_at - step.started_at)
                events.append(StepEvent(step.name, phase, step.started_at, duration, step.error))
                self._told[step.name] = phase
        return events
