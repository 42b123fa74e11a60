"""The instances: placed in every region, then probed as healthy."""

from functools import partial
from typing import Literal

import msgspec
from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import Status, Step
from pkg.images.portability import SET_A_REGISTRY
from pkg.regions import queries as regions
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows import instances
from svc.worker.workflows.compensation import Compensations, ExitReason, WorkflowExit
from svc.worker.workflows.deploy.record import DeployInput
from svc.worker.workflows.instances import Assessment, InstancesObservation
from svc.worker.workflows.waiting import INSTANCES, Observation, StopSignal, WakeUp, watch

REGION_TIMEOUT_S = 60


class PlacementObservation(Observation, frozen=True, kw_only=True):
    """Whether the deployment is placed."""

    outcome: Literal["placed", "no_region", "failed", "stopped", "over"]


async def place(journal: Journal, deploy: DeployInput, stop: StopSignal, undo: Compensations) -> None:
    """Places the deployment in every registered region. Raises WorkflowExit."""
    undo.add(partial(instances.stop, journal, deploy.environment_id, deploy.deployment_id))
    placed = await watch(journal, "place", put_everywhere, REGION_TIMEOUT_S, None, stop, deploy.deployment_id)
    if placed.outcome == "no_region":
        await journal.step("note no region", note_no_region, deploy.deployment_id)
        raise WorkflowExit(ExitReason.FAILED)
    if placed.outcome != "placed":
        raise WorkflowExit(ExitReason(placed.outcome))


async def put_everywhere(deps: WorkerDeps, deployment_id: str) -> PlacementObservation:
    """Enters `deploying` and places the image, if there is a region. Idempotent."""

    def write(connection: Connection) -> PlacementObservation:
        now = deps.clock()
        found = deployments.get(connection, deployment_id)
        if found is None or found.status.is_terminal:
            return PlacementObservation(settled=True, now=now, outcome="over")
        if found.cancel_requested_at is not None:
            return PlacementObservation(settled=True, now=now, outcome="stopped")
        _enter(connection, found, now)
        known = regions.every(connection)
        if not known:
            return PlacementObservation(settled=False, now=now, outcome="no_region")
        image_ref = found.image_ref or found.docker_image
        if why := instances.obstacle(image_ref, known):
            deployments.note_error(
                connection,
                found.id,
                code="image.not_portable",
                message=f"The image exists on one Docker engine only, and {why}. {SET_A_REGISTRY}",
                step=Step.DEPLOYING,
                now=now,
            )
            return PlacementObservation(settled=True, now=now, outcome="failed")
        instances.put(connection, found, image_ref, [region.name for region in known], now)
        return PlacementObservation(settled=True, now=now, outcome="placed")

    return await deps.db.write(write)


def _enter(connection: Connection, found: Deployment, now: int) -> None:
    deployments.enter(connection, found.id, Status.DEPLOYING, now)
    for step in deployments.steps(connection, found.id):
        if step.name != Step.DEPLOYING:
            deployments.end_step(connection, found.id, Step(step.name), now)
    deployments.start_step(connection, found.id, Step.DEPLOYING, now)


async def note_no_region(deps: WorkerDeps, deployment_id: str) -> None:
    """Keeps the reason. Idempotent."""

    def write(connection: Connection) -> None:
        deployments.note_error(
            connection,
            deployment_id,
            code="instance.no_region",
            message=f"No region registered within {REGION_TIMEOUT_S} s: is krane running? Start it and deploy again.",
            step=Step.DEPLOYING,
            now=deps.clock(),
        )

    await deps.db.write(write)


class StartTimeout(msgspec.Struct, frozen=True):
    """How long the instances may take to become healthy."""

    timeout_s: int


async def wait_healthy(ctx: WorkflowContext, journal: Journal, deploy: DeployInput, stop: StopSignal) -> None:
    """Waits until enough instances are healthy in every region; only what krane probed counts. Raises WorkflowExit."""
    timeout_s = (await journal.step("start timeout", start_timeout, deploy.deployment_id)).timeout_s
    observed = await watch(
        journal, "health", observe_health, timeout_s, WakeUp(ctx, INSTANCES), stop, deploy.deployment_id
    )
    if observed.outcome in ("waiting", "unseen"):
        await journal.step("note not healthy", note_not_healthy, deploy.deployment_id, timeout_s)
        raise WorkflowExit(ExitReason.FAILED)
    if observed.outcome != "healthy":
        raise WorkflowExit(ExitReason(observed.outcome))


async def start_timeout(deps: WorkerDeps, deployment_id: str) -> StartTimeout:
    """From the deployment's settings."""

    def read(connection: Connection) -> StartTimeout:
        found = deployments.get(connection, deployment_id)
        return StartTimeout(instances.start_timeout_s(found) if found is not None else 0)

    return await deps.db.read(read)


async def observe_health(deps: WorkerDeps, deployment_id: str) -> InstancesObservation:
    """Assesses the instances once; records a failure at once, while its reason can still be read."""
    now = deps.clock()

    def read(connection: Connection) -> tuple[Deployment | None, Assessment | None]:
        found = deployments.get(connection, deployment_id)
        return found, None if found is None else instances.assess(connection, found, now)

    found, assessment = await deps.db.read(read)
    if found is None or assessment is None or found.status.is_terminal:
        return InstancesObservation(settled=True, now=now, outcome="over")
    if found.cancel_requested_at is not None:
        return InstancesObservation(settled=True, now=now, outcome="stopped")
    if assessment.outcome == "failed":
        await _note(deps, deployment_id, assessment.code, None)
    return InstancesObservation(settled=assessment.is_final, now=now, outcome=assessment.outcome)


async def note_not_healthy(deps: WorkerDeps, deployment_id: str, timeout_s: int) -> None:
    """Keeps what was still missing. Idempotent."""
    await _note(deps, deployment_id, "instance.not_healthy", timeout_s)


async def _note(deps: WorkerDeps, deployment_id: str, code: str, waited_s: int | None) -> None:
    def write(connection: Connection) -> None:
        found = deployments.get(connection, deployment_id)
        if found is None:
            return
        now = deps.clock()
        failure = instances.explain_failure(connection, found, code, waited_s, now)
        deployments.note_error(
            connection, deployment_id, code=failure.code, message=failure.message, step=Step.DEPLOYING, now=now
        )
        deployments.keep_output(connection, deployment_id, failure.output)

    await deps.db.write(write)
