"""Taking the routes, and waiting until the ingress serves them so."""

from functools import partial

from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.status import Step
from pkg.workflows.objects import ROUTING_ASSIGN, ROUTING_UNDO
from sealift.workflow.v1.workflow_pb2 import AssignReply, AssignRequest, UndoRequest
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.applied import look_applied, why_not
from svc.worker.workflows.deploy.open import Opened
from svc.worker.workflows.ends import Compensations, End, GiveUpError
from svc.worker.workflows.waiting import APPLIED, Bell, watch


async def assign_routes(journal: Journal, opened: Opened, undo: Compensations) -> AssignReply:
    """Points the hostnames at the deployment, as far as no newer intent holds them."""
    undo.add(partial(_give_back, journal, opened))
    request = AssignRequest(deployment_id=opened.deployment_id)
    return await journal.call(ROUTING_ASSIGN, opened.environment_id, request)


async def _give_back(journal: Journal, opened: Opened) -> None:
    request = UndoRequest(deployment_id=opened.deployment_id)
    await journal.call(ROUTING_UNDO, opened.environment_id, request)


async def wait_applied(ctx: WorkflowContext, journal: Journal, opened: Opened, moved: AssignReply) -> None:
    """Until every required region has applied the moves and refused none. Raises GiveUpError(FAILED)."""
    timeout_s = journal.deps.config.deploy.route_timeout_s
    hostnames = list(moved.hostnames)
    seen = await watch(
        journal, "applied", look_applied, timeout_s, Bell(ctx, APPLIED), None,
        opened.deployment_id, moved.version, hostnames,
    )  # fmt: skip
    if not seen.settled:
        await journal.step("note not applied", note_not_applied, opened.deployment_id, moved.version, hostnames)
        raise GiveUpError(End.FAILED)


async def note_not_applied(deps: WorkerDeps, deployment_id: str, version: int, hostnames: list[str]) -> None:
    """Keeps who did not apply it. Idempotent."""

    def write(connection: Connection) -> None:
        waited_s, now = deps.config.deploy.route_timeout_s, deps.clock()
        message = why_not(connection, deployment_id, version, hostnames, waited_s, now)
        deployments.note_error(
            connection, deployment_id, code="route.not_applied", message=message, step=Step.NETWORK, now=now
        )

    await deps.db.write(write)
