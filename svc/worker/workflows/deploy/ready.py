"""The good end: ready and running, in one transaction with what it means for the others."""

import logging

import msgspec
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState, Status, Step
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.deploy.open import Opened
from svc.worker.workflows.displaced import Unrouted, retire_later, unrouted
from svc.worker.workflows.ends import End, GiveUpError

log = logging.getLogger(__name__)


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to stop after a while."""

    is_ready: bool
    now: int
    unrouted: list[Unrouted]


async def make_ready(journal: Journal, opened: Opened) -> None:
    """Ends the deploy as ready; what it displaced stays warm for a while. Raises GiveUpError(OVER)."""
    ready = await journal.step("ready", write_ready, opened.deployment_id)
    if not ready.is_ready:
        raise GiveUpError(End.OVER)
    retire_later(journal, opened.environment_id, ready.unrouted, ready.now)


async def write_ready(deps: WorkerDeps, deployment_id: str) -> Ready:
    """Writes the status, the run state and the displaced ones' standby. Idempotent."""

    def write(connection: Connection) -> tuple[Ready, int | None]:
        now = deps.clock()
        entered = deployments.enter(connection, deployment_id, Status.READY, now)
        found = deployments.get(connection, deployment_id)
        if found is None or found.status is not Status.READY:
            return Ready(is_ready=False, now=now, unrouted=[]), None
        if entered:
            deployments.set_run_state(connection, deployment_id, RunState.RUNNING, now)
            deployments.end_step(connection, deployment_id, Step.NETWORK, now)
            deployments.start_step(connection, deployment_id, Step.FINALIZING, now)
        displaced = unrouted(connection, found.environment_id, ready_id=deployment_id, since=found.created_at, now=now)
        deployments.end_step(connection, deployment_id, Step.FINALIZING, deps.clock())
        return Ready(is_ready=True, now=now, unrouted=displaced), now - found.created_at if entered else None

    ready, took_ms = await deps.db.write(write)
    if took_ms is not None:
        deps.metrics.deploy_ended(Status.READY, took_ms / 1000)
        log.info("deployment ready")
    return ready
