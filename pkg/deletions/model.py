"""Rows of deletions, their kinds, statuses and steps. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class DeletionKind(StrEnum):
    """What is deleted, with all that belongs to it."""

    DEPLOYMENT = "deployment"
    ENVIRONMENT = "environment"
    PROJECT = "project"


class DeletionStatus(StrEnum):
    """The progress and outcome of a deletion."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether the status is final: it is never overwritten."""
        return self in TERMINAL


TERMINAL = frozenset({DeletionStatus.DONE, DeletionStatus.FAILED})
ACTIVE = frozenset(DeletionStatus) - TERMINAL


class DeletionStep(StrEnum):
    """What a deletion is at, in order."""

    QUEUED = "queued"
    WORK = "work"  # deploys, builds, operations and narrower deletions under way end
    ROUTES = "routes"
    INSTANCES = "instances"
    IMAGES = "images"
    CONTEXTS = "contexts"
    TELEMETRY = "telemetry"
    RECORDS = "records"


@dataclass(frozen=True)
class Deletion:
    """A row of `deletions`.

    Attributes:
        seq: of a deployment's: its number in the order of the environment's intents; else 0.
        step: what it is at; the last one that it was at once it has ended.
        waits_for: what keeps it from going on, for people; "" for nothing.
        skips_regions: it goes on without regions that do not confirm: a user said so.
        notices_json: what was not done, and why, for people.
    """

    id: str
    workspace_id: str
    kind: DeletionKind
    status: DeletionStatus
    project_id: str
    project_slug: str
    environment_id: str
    environment_slug: str
    deployment_id: str
    seq: int
    step: DeletionStep
    waits_for: str
    skips_regions: bool
    notices_json: list[str]
    error_code: str | None
    error_message: str | None
    traceparent: str
    created_at: int
    ended_at: int | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", DeletionKind(self.kind))
        object.__setattr__(self, "status", DeletionStatus(self.status))
        object.__setattr__(self, "step", DeletionStep(self.step))

    @property
    def what(self) -> str:
        """What is deleted, for people."""
        match self.kind:
            case DeletionKind.PROJECT:
                return f"project {self.project_slug!r}"
            case DeletionKind.ENVIRONMENT:
                return f"environment {self.environment_slug!r} of project {self.project_slug!r}"
            case DeletionKind.DEPLOYMENT:
                return f"deployment {self.deployment_id}"
