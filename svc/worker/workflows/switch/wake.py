"""Starting the target's instances, and waiting until they are healthy."""

from functools import partial
from typing import Literal

from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.operations import queries as operations
from pkg.regions import deployment_health
from pkg.regions import queries as regions
from pkg.regions.health import DeploymentHealth, Health
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows import instances
from svc.worker.workflows.ends import Compensations, End, GiveUpError
from svc.worker.workflows.switch.begin import Begun
from svc.worker.workflows.waiting import INSTANCES, Bell, Look, watch


class Started(Look, frozen=True, kw_only=True):
    """Whether it could be placed, and how long it may take."""

    placed: bool
    timeout_s: int


class Seen(Look, frozen=True, kw_only=True):
    """How the instances are."""

    outcome: Literal["healthy", "waiting", "failed"]


async def wake(ctx: WorkflowContext, journal: Journal, begun: Begun, undo: Compensations) -> None:
    """From the image and the settings of its own time. Raises GiveUpError."""
    stop = partial(instances.stop, journal, begun.environment_id, begun.deployment_id, operation_id=begun.operation_id)
    undo.add(stop)
    started = await journal.step("start", start, begun.operation_id, begun.deployment_id)
    if not started.placed:
        raise GiveUpError(End.FAILED)
    seen = await watch(
        journal, "health", look, started.timeout_s, Bell(ctx, INSTANCES), None, begun.operation_id, begun.deployment_id
    )
    if seen.outcome == "waiting":
        await journal.step(
            "note not healthy", note, begun.operation_id, begun.deployment_id, "instance.not_healthy", started.timeout_s
        )
    if seen.outcome != "healthy":
        raise GiveUpError(End.FAILED)


async def start(deps: WorkerDeps, operation_id: str, deployment_id: str) -> Started:
    """Places the target where its image can run. Idempotent."""

    def write(connection: Connection) -> Started:
        now = deps.clock()
        found = deployments.get(connection, deployment_id)
        assert found is not None
        names = [region.name for region in regions.every(connection)]
        if found.image_region is not None:
            names = [name for name in names if name == found.image_region]
        if not names or not instances.is_portable(found.image_ref, len(names)):
            where = found.image_region or "any region"
            message = f"No region can run {found.id} now: its image needs {where}. Deploy that commit again."
            operations.note_error(connection, operation_id, code="instance.no_region", message=message)
            return Started(settled=True, now=now, placed=False, timeout_s=0)
        instances.put(connection, found, found.image_ref, names, now)
        return Started(settled=True, now=now, placed=True, timeout_s=instances.start_timeout_s(found))

    return await deps.db.write(write)


async def look(deps: WorkerDeps, operation_id: str, deployment_id: str) -> Seen:
    """One look; a failure is noted with its reason at once."""

    def read(connection: Connection) -> tuple[bool, DeploymentHealth, str]:
        placed = deployment_health.required_regions(connection, deployment_id)
        target = _target(connection, deployment_id)
        now = deps.clock()
        no_room = deployment_health.shortage_code(connection, target, now)
        return bool(placed), deployment_health.reported_health(connection, target, now), no_room

    is_placed, verdict, no_room = await deps.db.read(read)
    if not is_placed:
        await deps.db.write(_note_stopped, operation_id, deployment_id)
        return Seen(settled=True, now=deps.clock(), outcome="failed")
    if verdict.health is Health.FAILED:
        await note(deps, operation_id, deployment_id, verdict.code or "instance.failed", None)
        return Seen(settled=True, now=deps.clock(), outcome="failed")
    healthy = verdict.health is Health.HEALTHY
    if no_room and not healthy:
        await note(deps, operation_id, deployment_id, no_room, None)
        return Seen(settled=True, now=deps.clock(), outcome="failed")
    return Seen(settled=healthy, now=deps.clock(), outcome="healthy" if healthy else "waiting")


async def note(deps: WorkerDeps, operation_id: str, deployment_id: str, code: str, waited_s: int | None) -> None:
    """Keeps why the instances did not come up. Idempotent."""

    def write(connection: Connection) -> None:
        target = _target(connection, deployment_id)
        verdict = deployment_health.reported_health(connection, target, deps.clock())
        message = instances.explain(connection, target, verdict, waited_s, code)
        told = verdict.code if verdict.health is Health.UNKNOWN else code
        operations.note_error(connection, operation_id, code=told, message=message)
        deployments.keep_output(connection, deployment_id, verdict.log_tail)

    await deps.db.write(write)


def _note_stopped(connection: Connection, operation_id: str, deployment_id: str) -> None:
    """A newer switch to the same target failed before this one saw why, and stopped what both waited for."""
    message = f"Deployment {deployment_id} was stopped while it started: a newer promote or rollback to it failed."
    operations.note_error(connection, operation_id, code="operation.overtaken", message=message)


def _target(connection: Connection, deployment_id: str) -> Deployment:
    found = deployments.get(connection, deployment_id)
    assert found is not None
    return found
