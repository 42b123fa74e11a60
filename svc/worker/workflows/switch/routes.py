"""Moving the environment's routes to the target, and waiting until the ingress serves them so."""

from functools import partial

from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.operations import queries as operations
from pkg.workflows.objects import ROUTING_ASSIGN, ROUTING_UNDO
from sealift.workflow.v1.workflow_pb2 import AssignReply, AssignRequest, UndoRequest
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.applied import look_applied, why_not
from svc.worker.workflows.ends import Compensations, End, GiveUpError
from svc.worker.workflows.switch.begin import Begun
from svc.worker.workflows.waiting import APPLIED, Bell, watch


async def assign_routes(journal: Journal, begun: Begun, undo: Compensations) -> AssignReply:
    """Takes the environment's routes. Raises GiveUpError when a newer intent holds them."""
    undo.add(partial(_give_back, journal, begun))
    request = AssignRequest(deployment_id=begun.deployment_id, operation_id=begun.operation_id)
    moved = await journal.call(ROUTING_ASSIGN, begun.environment_id, request)
    if not moved.taken:
        await journal.step("note overtaken", note_overtaken, begun.operation_id, moved.newer_deployment_id)
        raise GiveUpError(End.FAILED)
    return moved


async def _give_back(journal: Journal, begun: Begun) -> None:
    request = UndoRequest(deployment_id=begun.deployment_id, operation_id=begun.operation_id)
    await journal.call(ROUTING_UNDO, begun.environment_id, request)


async def wait_applied(ctx: WorkflowContext, journal: Journal, begun: Begun, moved: AssignReply) -> None:
    """Until every required region has applied the moves and refused none. Raises GiveUpError(FAILED)."""
    timeout_s = journal.deps.config.deploy.route_timeout_s
    hostnames = list(moved.hostnames)
    seen = await watch(
        journal, "applied", look_applied, timeout_s, Bell(ctx, APPLIED), None,
        begun.deployment_id, moved.version, hostnames,
    )  # fmt: skip
    if not seen.settled:
        await journal.step(
            "note not applied", note_not_applied, begun.operation_id, begun.deployment_id, moved.version, hostnames
        )
        raise GiveUpError(End.FAILED)


async def note_overtaken(deps: WorkerDeps, operation_id: str, newer_deployment_id: str) -> None:
    """Keeps who was faster. Idempotent."""

    def write(connection: Connection) -> None:
        message = f"A newer deploy or switch came first: live is {newer_deployment_id}. Look at it and try again."
        operations.note_error(connection, operation_id, code="operation.overtaken", message=message)

    await deps.db.write(write)


async def note_not_applied(
    deps: WorkerDeps, operation_id: str, deployment_id: str, version: int, hostnames: list[str]
) -> None:
    """Keeps who did not apply it. Idempotent."""

    def write(connection: Connection) -> None:
        waited_s, now = deps.config.deploy.route_timeout_s, deps.clock()
        message = why_not(connection, deployment_id, version, hostnames, waited_s, now)
        operations.note_error(connection, operation_id, code="route.not_applied", message=message)

    await deps.db.write(write)
