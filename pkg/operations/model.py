"""Rows of operations, their kinds and statuses. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class OperationKind(StrEnum):
    """What an operation does."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
    STOP = "stop"
    TAKE_DOWN = "take_down"  # a stop of what is live
    SCALE = "scale"
    RESTART = "restart"

    @property
    def is_stop(self) -> bool:
        """It ends the instances of its deployment."""
        return self in (OperationKind.STOP, OperationKind.TAKE_DOWN)

    @property
    def moves_routes(self) -> bool:
        """It makes its deployment live."""
        return self in (OperationKind.PROMOTE, OperationKind.ROLLBACK)


class OperationStatus(StrEnum):
    """The progress and outcome of an operation."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether the status is final: it is never overwritten."""
        return self in (OperationStatus.DONE, OperationStatus.FAILED)


@dataclass(frozen=True)
class Operation:
    """A row of `operations`. `replicas`: of a scale, else None; `process`: of a scale, "" for web."""

    id: str
    workspace_id: str
    environment_id: str
    kind: OperationKind
    status: OperationStatus
    seq: int
    deployment_id: str
    previous_deployment_id: str | None
    error_code: str | None
    error_message: str | None
    notices_json: list[str]
    traceparent: str
    created_at: int
    ended_at: int | None
    replicas: int | None = None
    process: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", OperationKind(self.kind))
        object.__setattr__(self, "status", OperationStatus(self.status))
