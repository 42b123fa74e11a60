"""Saying which regions are to run the deployment."""

from functools import partial
from typing import Literal

from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import Status, Step
from pkg.regions import queries as regions
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows import instances
from svc.worker.workflows.deploy.open import Opened
from svc.worker.workflows.ends import Compensations, End, GiveUpError
from svc.worker.workflows.waiting import Look, Stop, watch

REGION_TIMEOUT_S = 60


class Placed(Look, frozen=True, kw_only=True):
    """What became of the wish to place it."""

    outcome: Literal["placed", "no_region", "failed", "stopped", "over"]


async def place(journal: Journal, opened: Opened, stop: Stop, undo: Compensations) -> None:
    """Places the deployment in every registered region. Raises GiveUpError."""
    undo.add(partial(instances.stop, journal, opened.environment_id, opened.deployment_id))
    placed = await watch(journal, "place", put_everywhere, REGION_TIMEOUT_S, None, stop, opened.deployment_id)
    if placed.outcome == "no_region":
        await journal.step("note no region", note_no_region, opened.deployment_id)
        raise GiveUpError(End.FAILED)
    if placed.outcome != "placed":
        raise GiveUpError(End(placed.outcome))


async def put_everywhere(deps: WorkerDeps, deployment_id: str) -> Placed:
    """Enters `deploying` and places the image, if there is a region. Idempotent."""

    def write(connection: Connection) -> Placed:
        now = deps.clock()
        found = deployments.get(connection, deployment_id)
        if found is None or found.status.is_terminal:
            return Placed(settled=True, now=now, outcome="over")
        if found.cancel_requested_at is not None:
            return Placed(settled=True, now=now, outcome="stopped")
        _enter(connection, found, now)
        names = [region.name for region in regions.every(connection)]
        if not names:
            return Placed(settled=False, now=now, outcome="no_region")
        image_ref = found.image_ref or found.docker_image
        if not instances.is_portable(image_ref, len(names)):
            deployments.note_error(
                connection,
                found.id,
                code="image.not_portable",
                message=f"The image exists on one Docker engine only, and {len(names)} regions are registered "
                f"({', '.join(names)}). Deploy an image that every region can pull.",
                step=Step.DEPLOYING,
                now=now,
            )
            return Placed(settled=True, now=now, outcome="failed")
        instances.put(connection, found, image_ref, names, now)
        return Placed(settled=True, now=now, outcome="placed")

    return await deps.db.write(write)


def _enter(connection: Connection, found: Deployment, now: int) -> None:
    if deployments.enter(connection, found.id, Status.DEPLOYING, now):
        deployments.end_open_steps(connection, found.id, now)
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
