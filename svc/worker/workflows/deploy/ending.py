"""The other ends: failed with a reason, cancelled, superseded."""

import logging

import msgspec
from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus
from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import CANCELLABLE, Status, Step
from pkg.observability.logging import fields
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.ends import End

log = logging.getLogger(__name__)

_STEP_OF = {
    Status.PENDING: Step.QUEUED,
    Status.BUILDING: Step.BUILDING,
    Status.DEPLOYING: Step.DEPLOYING,
    Status.NETWORK: Step.NETWORK,
}


class Ended(msgspec.Struct, frozen=True):
    """How the deployment ended."""

    status: str
    error_code: str


async def note_abort(deps: WorkerDeps, deployment_id: str) -> None:
    """Keeps that it was aborted from outside, unless a better reason is known. Idempotent."""

    def write(connection: Connection) -> None:
        found = deployments.get(connection, deployment_id)
        if found is not None and found.error_code is None:
            _note_abort(connection, found, deps.clock())

    await deps.db.write(write)


async def end(deps: WorkerDeps, deployment_id: str, why: End) -> Ended:
    """Writes the terminal status, once everything is undone. Idempotent; never overwrites a terminal one."""

    def write(connection: Connection) -> tuple[Ended, int | None]:
        now = deps.clock()
        found = deployments.get(connection, deployment_id)
        if found is None:
            return Ended("", ""), None
        ended = _end(connection, found, why, now)
        if found.build_id is not None:
            builds.finish(connection, found.build_id, BuildStatus.CANCELLED, now)
        is_now = deployments.get(connection, deployment_id)
        assert is_now is not None
        return Ended(is_now.status, is_now.error_code or ""), now - found.created_at if ended else None

    ended, took_ms = await deps.db.write(write)
    if took_ms is not None:
        deps.metrics.deploy_ended(ended.status, took_ms / 1000)
        log.info("deployment ended", extra=fields(status=ended.status, error_code=ended.error_code))
    return ended


def _end(connection: Connection, found: Deployment, why: End, now: int) -> bool:
    if why is End.STOPPED and found.status in CANCELLABLE:
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
        step=found.error_step or _STEP_OF[found.status],
        now=now,
    )


def _note_abort(connection: Connection, found: Deployment, now: int) -> Deployment:
    deployments.note_error(
        connection,
        found.id,
        code="deploy.aborted",
        message="The deploy was aborted in the workflow engine and undone. Deploy again.",
        step=_STEP_OF.get(found.status, Step.QUEUED),
        now=now,
    )
    noted = deployments.get(connection, found.id)
    assert noted is not None
    return noted
