"""Rows of deployments and their steps. Pure."""

from dataclasses import dataclass
from typing import Any

from pkg.deployments.status import RunState, Source, Status


@dataclass(frozen=True)
class Deployment:
    """A row of `deployments`.

    `restart_generation`: the intent's number of the last restart; 0: none. `processes_stopped`: its processes beside
    web are not to run, see `pkg.regions.processes`.
    """

    id: str
    workspace_id: str
    project_id: str
    environment_id: str
    seq: int
    branch: str
    keyspace_id: str | None
    status: Status
    run_state: RunState
    source: Source
    git_json: dict[str, Any]
    docker_image: str
    build_id: str | None
    image_ref: str
    image_region: str | None
    settings_json: dict[str, Any]
    variables_sealed: bytes | None
    plain_variables_json: list[str]
    notices_json: list[str]
    error_code: str | None
    error_message: str | None
    error_step: str | None
    cancel_requested_at: int | None
    cancel_reason: str | None
    traceparent: str
    created_at: int
    updated_at: int
    ended_at: int | None
    run_state_at: int
    last_output_json: list[str]
    restart_generation: int = 0
    deletion_id: str | None = None
    deleted_at: int | None = None
    processes_stopped: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))
        object.__setattr__(self, "run_state", RunState(self.run_state))
        object.__setattr__(self, "source", Source(self.source))


@dataclass(frozen=True)
class StepRow:
    """A row of `deployment_steps`."""

    deployment_id: str
    name: str
    started_at: int
    ended_at: int | None
    error: str | None
