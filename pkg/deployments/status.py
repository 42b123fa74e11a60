"""Statuses and run states of deployments, and the transitions between them. Pure.

`Status` is the outcome of the deploy and ends in exactly one terminal value. `RunState` says whether its instances run;
it moves freely after `ready`.
"""

from enum import StrEnum


class Status(StrEnum):
    """The outcome of a deploy."""

    PENDING = "pending"
    BUILDING = "building"
    DEPLOYING = "deploying"
    NETWORK = "network"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def is_terminal(self) -> bool:
        """Whether the status is final: it is never overwritten."""
        return self in TERMINAL

    @property
    def can_be_cancelled(self) -> bool:
        """Entering `network` is the point of no return."""
        return self in CANCELLABLE


TERMINAL = frozenset({Status.READY, Status.FAILED, Status.CANCELLED, Status.SUPERSEDED})
CANCELLABLE = frozenset({Status.PENDING, Status.BUILDING, Status.DEPLOYING})
IN_FLIGHT = frozenset(Status) - TERMINAL

# The statuses from which each may be entered. A repeated step finds its own status: entering it again is no change.
ENTERED_FROM: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(),
    Status.BUILDING: frozenset({Status.PENDING}),
    Status.DEPLOYING: frozenset({Status.PENDING, Status.BUILDING}),
    Status.NETWORK: frozenset({Status.DEPLOYING}),
    Status.READY: frozenset({Status.NETWORK}),
    Status.FAILED: IN_FLIGHT,
    Status.CANCELLED: CANCELLABLE,
    Status.SUPERSEDED: CANCELLABLE,
}


class RunState(StrEnum):
    """Whether the instances of a deployment run."""

    NONE = "none"
    STARTING = "starting"
    RUNNING = "running"
    STANDBY = "standby"
    STOPPING = "stopping"
    STOPPED = "stopped"

    @property
    def is_warm(self) -> bool:
        """Instances answer: routes may point here at once."""
        return self in WARM


WARM = frozenset({RunState.RUNNING, RunState.STANDBY})

RUN_STATE_ENTERED_FROM: dict[RunState, frozenset[RunState]] = {
    RunState.NONE: frozenset(),
    RunState.STARTING: frozenset({RunState.NONE, RunState.STOPPING, RunState.STOPPED}),
    RunState.RUNNING: frozenset({RunState.STARTING, RunState.STANDBY}),
    RunState.STANDBY: frozenset({RunState.RUNNING}),
    RunState.STOPPING: frozenset({RunState.STARTING, RunState.RUNNING, RunState.STANDBY}),
    RunState.STOPPED: frozenset({RunState.STOPPING, RunState.NONE}),
}


class Source(StrEnum):
    """Where a deployment's image comes from."""

    UPLOAD = "upload"
    IMAGE = "image"
    BUILD = "build"


class Step(StrEnum):
    """The named steps of a deploy, in order."""

    QUEUED = "queued"
    BUILDING = "building"
    RELEASING = "releasing"  # only of a deploy with a release command; the status is `deploying`
    DEPLOYING = "deploying"
    NETWORK = "network"
    FINALIZING = "finalizing"


STEP_ORDER = {step: number for number, step in enumerate(Step)}


def may_enter(new: Status, old: Status) -> bool:
    """Whether a deployment in `old` may become `new`."""
    return old in ENTERED_FROM[new]
