"""Waiting until enough instances are healthy in every region."""

from typing import Literal

import msgspec
from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import Step
from pkg.regions import deployment_health
from pkg.regions.health import DeploymentHealth, Health
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows import instances
from svc.worker.workflows.deploy.open import Opened
from svc.worker.workflows.ends import End, GiveUpError
from svc.worker.workflows.waiting import INSTANCES, Bell, Look, Stop, watch


class Patience(msgspec.Struct, frozen=True):
    """How long to wait."""

    timeout_s: int


class Seen(Look, frozen=True, kw_only=True):
    """How the instances are."""

    outcome: Literal["healthy", "waiting", "failed", "stopped", "over"]


async def wait_healthy(ctx: WorkflowContext, journal: Journal, opened: Opened, stop: Stop) -> None:
    """Only what krane probed as healthy counts. Raises GiveUpError."""
    patience = await journal.step("start timeout", start_timeout, opened.deployment_id)
    bell = Bell(ctx, INSTANCES)
    seen = await watch(journal, "health", look, patience.timeout_s, bell, stop, opened.deployment_id)
    if seen.outcome == "waiting":
        await journal.step("note not healthy", note_not_healthy, opened.deployment_id, patience.timeout_s)
        raise GiveUpError(End.FAILED)
    if seen.outcome != "healthy":
        raise GiveUpError(End(seen.outcome))


async def start_timeout(deps: WorkerDeps, deployment_id: str) -> Patience:
    """From the deployment's settings."""

    def read(connection: Connection) -> Patience:
        found = deployments.get(connection, deployment_id)
        return Patience(instances.start_timeout_s(found) if found is not None else 0)

    return await deps.db.read(read)


async def look(deps: WorkerDeps, deployment_id: str) -> Seen:
    """One look; a failure is noted with its reason at once, before what tells it is gone."""
    now = deps.clock()

    def read(connection: Connection) -> tuple[Deployment | None, DeploymentHealth | None, str]:
        found = deployments.get(connection, deployment_id)
        verdict = None if found is None else deployment_health.reported_health(connection, found, now)
        return found, verdict, "" if found is None else deployment_health.shortage_code(connection, found, now)

    found, verdict, no_room = await deps.db.read(read)
    if found is None or verdict is None or found.status.is_terminal:
        return Seen(settled=True, now=now, outcome="over")
    if found.cancel_requested_at is not None:
        return Seen(settled=True, now=now, outcome="stopped")
    if verdict.health is Health.FAILED:
        await _note(deps, deployment_id, verdict.code or "instance.failed", None)
        return Seen(settled=True, now=now, outcome="failed")
    if verdict.health is Health.HEALTHY:
        return Seen(settled=True, now=now, outcome="healthy")
    if no_room:
        await _note(deps, deployment_id, no_room, None)
        return Seen(settled=True, now=now, outcome="failed")
    return Seen(settled=False, now=now, outcome="waiting")


async def note_not_healthy(deps: WorkerDeps, deployment_id: str, timeout_s: int) -> None:
    """Keeps what was still missing. Idempotent."""
    await _note(deps, deployment_id, "instance.not_healthy", timeout_s)


async def _note(deps: WorkerDeps, deployment_id: str, code: str, waited_s: int | None) -> None:
    def write(connection: Connection) -> None:
        found = deployments.get(connection, deployment_id)
        if found is None:
            return
        now = deps.clock()
        verdict = deployment_health.reported_health(connection, found, now)
        message = instances.explain(connection, found, verdict, waited_s, code)
        told = verdict.code if verdict.health is Health.UNKNOWN else code
        deployments.note_error(connection, deployment_id, code=told, message=message, step=Step.DEPLOYING, now=now)
        deployments.keep_output(connection, deployment_id, verdict.log_tail)

    await deps.db.write(write)
