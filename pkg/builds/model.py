"""Rows of builds, build secrets and build contexts, and the statuses of a build. Pure."""

from dataclasses import dataclass
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
        """Whether the status is final: it is never overwritten."""
        return self in TERMINAL


TERMINAL = frozenset({BuildStatus.SUCCEEDED, BuildStatus.FAILED, BuildStatus.CANCELLED})
IN_FLIGHT = frozenset(BuildStatus) - TERMINAL


@dataclass(frozen=True)
class Build:
    """A row of `builds`."""

    id: str
    workspace_id: str
    project_id: str
    deployment_id: str | None
    status: BuildStatus
    attempt: int
    build_context_path: str
    dockerfile_path: str
    target: str
    platform: str
    build_args_json: dict[str, str]
    image_ref: str
    error_code: str | None
    error_message: str | None
    cancel_requested_at: int | None
    traceparent: str
    created_at: int
    started_at: int | None
    ended_at: int | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", BuildStatus(self.status))


@dataclass(frozen=True)
class SealedSecret:
    """A build secret at rest."""

    build_id: str
    secret_id: str
    data_key: bytes
    sealed: bytes


@dataclass(frozen=True)
class Context:
    """A row of `contexts`."""

    path: str
    project_id: str
    sha256: str
    size_bytes: int
    created_at: int
    expires_at: int
    checked_at: int | None
