"""Rows of jobs, their kinds and statuses. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from pkg.desired.jobs import job_name


class JobKind(StrEnum):
    """Who wants a job."""

    RELEASE = "release"
    RUN = "run"


class JobStatus(StrEnum):
    """The progress and outcome of a job."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    TIMED_OUT = "timed_out"

    @property
    def is_terminal(self) -> bool:
        """Whether the status is final: it is never overwritten."""
        return self not in ACTIVE


ACTIVE = frozenset({JobStatus.PENDING, JobStatus.RUNNING})


@dataclass(frozen=True)
class Job:
    """A row of `jobs`.

    Attributes:
        wanted_at: since when its region is told to run it; None: it waits for its turn.
        running_at: when it was reported as running first, by the api's clock; bounds are counted from it.
        observed_at: when its region reported it last.
        started_at: as its region's clock says, for people; 0: not yet.
    """

    id: str
    workspace_id: str
    project_id: str
    environment_id: str
    deployment_id: str
    region: str
    kind: JobKind
    status: JobStatus
    image_ref: str
    command_json: list[str]
    timeout_s: int
    waits_for: str
    wanted_at: int | None
    running_at: int | None
    observed_at: int | None
    stop_requested_at: int | None
    started_at: int
    ended_at: int | None
    exit_code: int | None
    error_code: str | None
    error_message: str | None
    log_tail_json: list[str]
    created_at: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", JobKind(self.kind))
        object.__setattr__(self, "status", JobStatus(self.status))

    @property
    def instance_id(self) -> str:
        """Of its lines in the log of the deployment; also the name of its container or Pod."""
        return job_name(self.id)


def release_job_id(deployment_id: str) -> str:
    """Of the one release job that a deploy has, however often its step is repeated."""
    return f"job_{deployment_id.partition('_')[2]}"


@dataclass(frozen=True)
class JobEnd:
    """How a job ended.

    Attributes:
        error_code: "" when it succeeded or was stopped as asked.
        error_message: for people; also said of a stop that nobody confirmed.
    """

    status: JobStatus
    exit_code: int | None = None
    error_code: str = ""
    error_message: str = ""
    log_tail: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobSeen:
    """What a region reports of a job: an `end`, or that it waits or runs."""

    job_id: str
    is_running: bool = False
    waits_for: str = ""
    started_at: int = 0
    end: JobEnd | None = None
