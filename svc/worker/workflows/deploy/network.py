"""The point of no return."""

from typing import Literal

import msgspec
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import Source, Status, Step
from pkg.images import ImageRef
from pkg.regions import queries as regions
from pkg.regions.deployment_health import required_regions
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.deploy.open import Opened
from svc.worker.workflows.ends import End, GiveUpError


class Entered(msgspec.Struct, frozen=True):
    """Whether it was reached before a cancel."""

    outcome: Literal["entered", "stopped", "over"]


async def enter_network(journal: Journal, opened: Opened) -> None:
    """Enters `network`: from here on the deploy can't be cancelled. Raises GiveUpError when a cancel came first."""
    entered = await journal.step("enter network", enter, opened.deployment_id)
    if entered.outcome != "entered":
        raise GiveUpError(End(entered.outcome))


async def enter(deps: WorkerDeps, deployment_id: str) -> Entered:
    """Enters `network` unless a cancel was requested; pins a pulled image to what actually runs. Idempotent."""

    def write(connection: Connection) -> Entered:
        now = deps.clock()
        entered = deployments.enter(connection, deployment_id, Status.NETWORK, now)
        found = deployments.get(connection, deployment_id)
        if found is None or found.status.is_terminal:
            return Entered("over")
        if found.status is not Status.NETWORK:
            return Entered("stopped")
        if entered:
            deployments.end_step(connection, deployment_id, Step.DEPLOYING, now)
            deployments.start_step(connection, deployment_id, Step.NETWORK, now)
            _pin_image(connection, found, now)
        return Entered("entered")

    return await deps.db.write(write)


def _pin_image(connection: Connection, found: Deployment, now: int) -> None:
    """A tag may move: what ran once is what a rollback runs again. Only one region's engine can be named."""
    if found.source is not Source.IMAGE or found.image_ref:
        return
    ids = {i.image_id for i in regions.instances_of(connection, found.id) if i.image_id}
    names = required_regions(connection, found.id)
    if len(ids) == 1 and len(names) == 1:
        deployments.set_image(connection, found.id, str(ImageRef.on_engine(ids.pop())), names[0], now)
    else:
        deployments.set_image(connection, found.id, found.docker_image, None, now)
