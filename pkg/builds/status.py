"""What a build can be. Pure."""

from enum import StrEnum


class BuildStatus(StrEnum):
    """The outcome of a build."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Never overwritten once reached."""
        return self in TERMINAL


TERMINAL = frozenset({BuildStatus.SUCCEEDED, BuildStatus.FAILED, BuildStatus.CANCELLED})
IN_FLIGHT = frozenset(BuildStatus) - TERMINAL
