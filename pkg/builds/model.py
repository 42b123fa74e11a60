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
    """A row of `builds`.

    Attributes:
        platform: that was asked for, "" for the builder's own; of a build that succeeded, that of its image.
        image_ref: by id on an engine, or by digest in a registry; "" before the build succeeded and once it is deleted.
        image_name: repository and tag of the image, "" before the build succeeded.
        attestations_json: what is attached to the image, as `BuiltImage.attestations`.
        no_cache: whether every step had to run.
    """

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
    image_name: str
    attestations_json: list[str]
    no_cache: bool
    deleted_at: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", BuildStatus(self.status))


@dataclass(frozen=True)
class RecordedImage:
    """What the row of a build that succeeded says about its image; see `Build`."""

    image_ref: str
    name: str
    platform: str
    attestations: tuple[str, ...] = ()


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
