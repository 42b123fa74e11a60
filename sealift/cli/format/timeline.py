"""Converts the steps of a deployment or a build to events: each start and end once. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

STEPS = ("queued", "building", "deploying", "network", "finalizing")
BUILD_STEPS = ("queued", "building")  # of a build without a deployment
BUILT_STEPS = tuple(step for step in STEPS if step != "building")  # of a deployment whose image exists
# Labels for people: while the step runs, and when it has ended.
_LABELS = {
    "queued": ("Queued", "Queued"),
    "building": ("Building", "Built"),
    "releasing": ("Running the release command", "Release command done"),
    "deploying": ("Starting", "Started"),
    "network": ("Moving traffic", "Traffic moved"),
    "finalizing": ("Finishing", "Finished"),
}


def active_label(step: str) -> str:
    """The label of a running step, e.g. "Moving traffic"; its name if this version does not know it."""
    return _LABELS.get(step, (step.capitalize(),))[0]


def done_label(step: str) -> str:
    """The label of a completed step, e.g. "Traffic moved"."""
    return _LABELS.get(step, (step.capitalize(),))[-1]


class Phase(Enum):
    """What happened to a step."""

    STARTED = "started"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True)
class StepEvent:
    """The start or end of a step.

    Attributes:
        name: one of STEPS, or unknown to this version.
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
    """Keeps the reported phase of each step; a repeated state gives no event."""

    def __init__(self) -> None:
        self._reported: dict[str, Phase] = {}

    def feed(self, steps: Sequence[_Step]) -> list[StepEvent]:
        """The new events in `steps`, in order."""
        events: list[StepEvent] = []
        for step in steps:
            reported = self._reported.get(step.name)
            if reported is None and step.started_at:
                events.append(StepEvent(step.name, Phase.STARTED, step.started_at))
                reported = self._reported[step.name] = Phase.STARTED
            if reported is Phase.STARTED and step.ended_at:
                phase = Phase.FAILED if step.error else Phase.ENDED
                duration = max(0, step.ended_at - step.started_at)
                events.append(StepEvent(step.name, phase, step.started_at, duration, step.error))
                self._reported[step.name] = phase
        return events
