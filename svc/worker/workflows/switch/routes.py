"""Moving the environment's routes to the target."""

from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.operations import queries as operations
from sealift.workflow.v1.workflow_pb2 import AssignReply
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.compensation import Compensations, ExitReason, WorkflowExit
from svc.worker.workflows.routes import assign_routes, explain_not_applied, wait_applied
from svc.worker.workflows.switch.record import SwitchInput


async def take_routes(journal: Journal, switch: SwitchInput, undo: Compensations) -> AssignReply:
    """Points the environment's hostnames at the target. Raises WorkflowExit when a newer intent holds them."""
    moved = await assign_routes(
        journal, switch.environment_id, switch.deployment_id, undo, operation_id=switch.operation_id
    )
    if not moved.taken:
        await journal.step("note overtaken", note_overtaken, switch.operation_id, moved.newer_deployment_id)
        raise WorkflowExit(ExitReason.FAILED)
    return moved


async def wait_until_applied(ctx: WorkflowContext, journal: Journal, switch: SwitchInput, moved: AssignReply) -> None:
    """Waits until every required region serves the routes as moved. Raises WorkflowExit(FAILED)."""
    if await wait_applied(ctx, journal, switch.deployment_id, moved):
        return
    await journal.step(
        "note not applied", note_not_applied, switch.operation_id, switch.deployment_id, moved.version,
        list(moved.hostnames),
    )  # fmt: skip
    raise WorkflowExit(ExitReason.FAILED)


async def note_overtaken(deps: WorkerDeps, operation_id: str, newer_deployment_id: str) -> None:
    """Keeps which deployment a newer intent made live. Idempotent."""

    def write(connection: Connection) -> None:
        message = f"A newer deploy or switch came first: live is {newer_deployment_id}. Check it and try again."
        operations.note_error(connection, operation_id, code="operation.overtaken", message=message)

    await deps.db.write(write)


async def note_not_applied(
    deps: WorkerDeps, operation_id: str, deployment_id: str, version: int, hostnames: list[str]
) -> None:
    """Keeps which region did not apply the routes. Idempotent."""

    def write(connection: Connection) -> None:
        waited_s, now = deps.config.deploy.route_timeout_s, deps.clock()
        message = explain_not_applied(connection, deployment_id, version, hostnames, waited_s, now)
        operations.note_error(connection, operation_id, code="route.not_applied", message=message)

    await deps.db.write(write)
