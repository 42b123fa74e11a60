"""The deployment's row: what the workflow reads first, and the outcomes that it writes last."""

import logging

import msgspec
from restate import TerminalError
from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus
from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.settings import from_json
from pkg.deployments.status import CANCELLABLE, RunState, Source, Status, Step
from pkg.observability.logging import fields
from pkg.workflows.deploy import STEP_OF_STATUS
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.compensation import ExitReason, WorkflowExit
from svc.worker.workflows.standby import Displaced, displace, retire_later

log = logging.getLogger(__name__)


class DeployInput(msgspec.Struct, frozen=True, kw_only=True):
    """What the workflow needs of its row; none of it changes later.

    Attributes:
        build_id: of the build to wait for, or "".
        releases: it has a release command.
    """

    code_version: int
    deployment_id: str
    status: str
    is_over: bool
    environment_id: str
    build_id: str
    releases: bool
    traceparent: str


async def read_input(deps: WorkerDeps, deployment_id: str, code_version: int) -> DeployInput:
    """Reads the row. If it has ended already (superseded or cancelled while pending), ends its build, too."""

    def write(connection: Connection) -> DeployInput:
        found = deployments.get(connection, deployment_id)
        if found is None:
            raise TerminalError(f"no deployment {deployment_id}", status_code=404)
        if found.status.is_terminal and found.build_id is not None:
            builds.finish(connection, found.build_id, BuildStatus.CANCELLED, deps.clock())
        return DeployInput(
            code_version=code_version,
            deployment_id=found.id,
            status=found.status,
            is_over=found.status.is_terminal,
            environment_id=found.environment_id,
            # an earlier build has ended, and its image is recorded
            build_id="" if found.source is Source.BUILD else found.build_id or "",
            releases=bool(from_json(found.settings_json).release_command),
            traceparent=found.traceparent,
        )

    return await deps.db.write(write)


class ReadyOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """`unrouted`: deployments to stop after a while."""

    is_ready: bool
    now: int
    unrouted: list[Displaced]


async def make_ready(journal: Journal, deploy: DeployInput) -> None:
    """Ends the deploy as ready; what it displaced stays on standby for a while. Raises WorkflowExit(OVER)."""
    ready = await journal.step("ready", write_ready, deploy.deployment_id)
    if not ready.is_ready:
        raise WorkflowExit(ExitReason.OVER)
    retire_later(journal, deploy.environment_id, ready.unrouted, ready.now)


async def write_ready(deps: WorkerDeps, deployment_id: str) -> ReadyOutcome:
    """Writes the status, the run state and the standby of the displaced, in one transaction. Idempotent."""

    def write(connection: Connection) -> tuple[ReadyOutcome, int | None]:
        now = deps.clock()
        entered = deployments.enter(connection, deployment_id, Status.READY, now)
        found = deployments.get(connection, deployment_id)
        if found is None or found.status is not Status.READY:
            return ReadyOutcome(is_ready=False, now=now, unrouted=[]), None
        if entered:
            deployments.set_run_state(connection, deployment_id, RunState.RUNNING, now)
            deployments.end_step(connection, deployment_id, Step.NETWORK, now)
            deployments.start_step(connection, deployment_id, Step.FINALIZING, now)
        displaced = displace(connection, found.environment_id, ready_id=deployment_id, since=found.created_at, now=now)
        deployments.end_step(connection, deployment_id, Step.FINALIZING, deps.clock())
        return ReadyOutcome(is_ready=True, now=now, unrouted=displaced), now - found.created_at if entered else None

    ready, took_ms = await deps.db.write(write)
    if took_ms is not None:
        deps.metrics.deploy_ended(Status.READY, took_ms / 1000)
        log.info("deployment ready")
    return ready


class DeployOutcome(msgspec.Struct, frozen=True):
    """How the deployment ended."""

    status: str
    error_code: str


async def note_abort(deps: WorkerDeps, deployment_id: str) -> None:
    """Keeps that it was aborted in Restate, unless a better reason is known. Idempotent."""

    def write(connection: Connection) -> None:
        found = deployments.get(connection, deployment_id)
        if found is not None and found.error_code is None:
            _note_abort(connection, found, deps.clock())

    await deps.db.write(write)


async def end(deps: WorkerDeps, deployment_id: str, reason: ExitReason) -> DeployOutcome:
    """Writes the terminal status, once everything is undone. Idempotent; never overwrites a terminal one."""

    def write(connection: Connection) -> tuple[DeployOutcome, int | None]:
        now = deps.clock()
        found = deployments.get(connection, deployment_id)
        if found is None:
            return DeployOutcome("", ""), None
        ended = _end(connection, found, reason, now)
        if found.build_id is not None:
            builds.finish(connection, found.build_id, BuildStatus.CANCELLED, now)
        is_now = deployments.get(connection, deployment_id)
        assert is_now is not None
        return DeployOutcome(is_now.status, is_now.error_code or ""), now - found.created_at if ended else None

    ended, took_ms = await deps.db.write(write)
    if took_ms is not None:
        deps.metrics.deploy_ended(ended.status, took_ms / 1000)
        log.info("deployment ended", extra=fields(status=ended.status, error_code=ended.error_code))
    return ended


def _end(connection: Connection, found: Deployment, reason: ExitReason, now: int) -> bool:
    if reason is ExitReason.STOPPED and found.status in CANCELLABLE:
        superseded = found.cancel_reason == "superseded"
        ended = deployments.enter(
            connection,
            found.id,
            Status.SUPERSEDED if superseded else Status.CANCELLED,
            now,
            error_code=None,
            error_message=None,
            error_step=None,
        )
        deployments.end_open_steps(connection, found.id, now, error="superseded" if superseded else "cancelled")
        return ended
    if found.status.is_terminal:
        return False
    if found.error_code is None:
        found = _note_abort(connection, found, now)
    return deployments.fail(
        connection,
        found.id,
        code=found.error_code or "deploy.aborted",
        message=found.error_message or "",
        step=found.error_step or STEP_OF_STATUS[found.status],
        now=now,
    )


def _note_abort(connection: Connection, found: Deployment, now: int) -> Deployment:
    deployments.note_error(
        connection,
        found.id,
        code="deploy.aborted",
        message="The deploy was aborted in the workflow engine and undone. Deploy again.",
        step=STEP_OF_STATUS.get(found.status, Step.QUEUED),
        now=now,
    )
    noted = deployments.get(connection, found.id)
    assert noted is not None
    return noted
