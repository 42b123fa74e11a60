"""Build events. The enums' numbers are those of sealift.ctrl.v1 (a test compares), so that a reader only copies."""

from dataclasses import dataclass
from enum import IntEnum

MAX_LINE_BYTES = 16 << 10


class LogStream(IntEnum):
    """Where a line came from."""

    STDOUT = 1
    STDERR = 2
    SYSTEM = 3  # written by Sealift: restarts, truncation marks


class StepState(IntEnum):
    """What is known of a step. All but STARTED are final, unless the builder says something new."""

    STARTED = 1
    CACHED = 2
    COMPLETED = 3
    FAILED = 4
    CANCELLED = 5

    @property
    def is_final(self) -> bool:
        """Whether the step has ended."""
        return self is not StepState.STARTED


@dataclass(frozen=True, slots=True)
class BuildLine:
    """One line of output, redacted, without its newline, at most 16 KiB. `step_id` is "" for SYSTEM."""

    step_id: str
    stream: LogStream
    text: str


@dataclass(frozen=True, slots=True)
class BuildStep:
    """A step as it is now; a later one with the same `step_id` replaces it. Times in epoch milliseconds, 0: not yet."""

    step_id: str
    name: str
    state: StepState
    started_at: int = 0
    ended_at: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class BuildEvent:
    """A line or a step, in the order in which it became known.

    Attributes:
        attempt: of the build, from 1.
        seq: from 1, growing over all attempts; given by the writer (`first_seq`). Numbers that were lost stay unused.
        at: epoch milliseconds.
        event: what happened.
    """

    attempt: int
    seq: int
    at: int
    event: BuildLine | BuildStep


# More than a build can print (`pkg.buildkit.log_lines`).
SEQ_PER_ATTEMPT = 10_000_000


def first_seq(attempt: int) -> int:
    """The number of the first event of an attempt.

    The control database gives each attempt its own number once, and so its own range of sequence numbers: a late event
    of a replaced attempt can neither take the number of a newer one's event nor follow it.
    """
    return (attempt - 1) * SEQ_PER_ATTEMPT + 1
