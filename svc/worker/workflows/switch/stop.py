"""Stopping a deployment because a user says so."""

from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState
from pkg.operations import queries as operations
from pkg.regions import queries as regions
from pkg.workflows.objects import ROUTING_RETIRE
from sealift.workflow.v1.workflow_pb2 import RetireRequest
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.ends import End, GiveUpError
from svc.worker.workflows.switch.begin import Begun
from svc.worker.workflows.waiting import INSTANCES, Bell, Look, watch

STOPPED_WITHIN_S = 60  # afterwards it goes on stopping, and is marked when it has


async def stop_target(ctx: WorkflowContext, journal: Journal, begun: Begun) -> None:
    """Through Routing, which looks again whether it is needed. Raises GiveUpError when it is."""
    request = RetireRequest(deployment_id=begun.deployment_id, operation_id=begun.operation_id)
    reply = await journal.call(ROUTING_RETIRE, begun.environment_id, request)
    if not reply.stopped:
        await journal.step("note routed", note_routed, begun.operation_id, begun.deployment_id)
        raise GiveUpError(End.FAILED)
    await watch(journal, "stopped", look, STOPPED_WITHIN_S, Bell(ctx, INSTANCES), None, begun.deployment_id)


async def look(deps: WorkerDeps, deployment_id: str) -> Look:
    """Marks it stopped once no region reports an instance. Idempotent."""

    def write(connection: Connection) -> Look:
        now = deps.clock()
        gone = not regions.any_alive(connection, deployment_id)
        if gone:
            deployments.set_run_state(connection, deployment_id, RunState.STOPPED, now)
        return Look(settled=gone, now=now)

    return await deps.db.write(write)


async def note_routed(deps: WorkerDeps, operation_id: str, deployment_id: str) -> None:
    """Keeps why it runs on. Idempotent."""

    def write(connection: Connection) -> None:
        message = (
            f"Deployment {deployment_id} was not stopped: it has become live, or a deploy, promote or rollback of its "
            "environment is moving the routes right now. See `sealift ls`, and try again once that has ended."
        )
        operations.note_error(connection, operation_id, code="deployment.routed", message=message)

    await deps.db.write(write)
