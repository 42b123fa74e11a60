"""The point of no return, and the routes that move after it."""

from typing import Literal

import msgspec
from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import Source, Status, Step
from pkg.images import ImageRef
from pkg.regions import queries as regions
from pkg.regions.deployment_health import required_regions
from sealift.workflow.v1.workflow_pb2 import AssignReply
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.compensation import ExitReason, WorkflowExit
from svc.worker.workflows.deploy.record import DeployInput
from svc.worker.workflows.routes import explain_not_applied, wait_applied


class NetworkEntry(msgspec.Struct, frozen=True):
    """Whether `network` was entered before a cancel."""

    outcome: Literal["entered", "stopped", "over"]


async def enter_network(journal: Journal, deploy: DeployInput) -> None:
    """Enters `network`: from here on the deploy can't be cancelled. Raises WorkflowExit when a cancel came first."""
    entered = await journal.step("enter network", enter, deploy.deployment_id)
    if entered.outcome != "entered":
        raise WorkflowExit(ExitReason(entered.outcome))


async def enter(deps: WorkerDeps, deployment_id: str) -> NetworkEntry:
    """Enters `network` unless a cancel was requested; pins a pulled image to what actually runs. Idempotent."""

    def write(connection: Connection) -> NetworkEntry:
        now = deps.clock()
        entered = deployments.enter(connection, deployment_id, Status.NETWORK, now)
        found = deployments.get(connection, deployment_id)
        if found is None or found.status.is_terminal:
            return NetworkEntry("over")
        if found.status is not Status.NETWORK:
            return NetworkEntry("stopped")
        if entered:
            deployments.end_step(connection, deployment_id, Step.DEPLOYING, now)
            deployments.start_step(connection, deployment_id, Step.NETWORK, now)
            _pin_image(connection, found, now)
        return NetworkEntry("entered")

    return await deps.db.write(write)


def _pin_image(connection: Connection, found: Deployment, now: int) -> None:
    """A tag may move, and a rollback must run what ran before. An image reference names one region's engine."""
    if found.source is not Source.IMAGE or found.image_ref:
        return
    ids = {i.image_id for i in regions.instances_of(connection, found.id) if i.image_id}
    names = required_regions(connection, found.id)
    if len(ids) == 1 and len(names) == 1:
        deployments.set_image(connection, found.id, str(ImageRef.on_engine(ids.pop())), names[0], now)
    else:
        deployments.set_image(connection, found.id, found.docker_image, None, now)


async def wait_until_applied(ctx: WorkflowContext, journal: Journal, deploy: DeployInput, moved: AssignReply) -> None:
    """Waits until every required region serves the routes as moved. Raises WorkflowExit(FAILED)."""
    if await wait_applied(ctx, journal, deploy.deployment_id, moved):
        return
    hostnames = list(moved.hostnames)
    await journal.step("note not applied", note_not_applied, deploy.deployment_id, moved.version, hostnames)
    raise WorkflowExit(ExitReason.FAILED)


async def note_not_applied(deps: WorkerDeps, deployment_id: str, version: int, hostnames: list[str]) -> None:
    """Keeps which region did not apply the routes. Idempotent."""

    def write(connection: Connection) -> None:
        waited_s, now = deps.config.deploy.route_timeout_s, deps.clock()
        message = explain_not_applied(connection, deployment_id, version, hostnames, waited_s, now)
        deployments.note_error(
            connection, deployment_id, code="route.not_applied", message=message, step=Step.NETWORK, now=now
        )

    await deps.db.write(write)
