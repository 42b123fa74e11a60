"""The handlers of `Routing`."""

from restate import ObjectContext, VirtualObject

from pkg.workflows.objects import (
    ROUTING_ASSIGN,
    ROUTING_CLEAR,
    ROUTING_CONFIRM_STOPPED,
    ROUTING_RETIRE,
    ROUTING_UNDO,
)
from sealift.workflow.v1.workflow_pb2 import (
    AssignReply,
    AssignRequest,
    ClearReply,
    ClearRequest,
    Empty,
    RetireReply,
    RetireRequest,
    SettleRequest,
    UndoReply,
    UndoRequest,
)
from svc.worker.deps import WorkerDeps
from svc.worker.handlers import declared
from svc.worker.journal import Journal
from svc.worker.workflows.instances import confirm_stopped_later
from svc.worker.workflows.routing import stopping
from svc.worker.workflows.routing.clearing import clear_routes
from svc.worker.workflows.routing.routes import assign_routes, undo_routes


def service(deps: WorkerDeps) -> VirtualObject:
    """The handlers, with these dependencies."""
    routing = VirtualObject(ROUTING_ASSIGN.service)

    @routing.handler(**declared(ROUTING_ASSIGN))
    async def assign(ctx: ObjectContext, request: AssignRequest) -> AssignReply:
        """Moves the routes for a deploy, a promote or a rollback, as far as the rules allow. Repeatable."""
        done = await Journal(ctx, deps, "routing").step(
            "assign", assign_routes, request.deployment_id, request.operation_id
        )
        return AssignReply(
            version=done.version,
            hostnames=done.hostnames,
            newer_deployment_id=done.newer_deployment_id,
            previous_deployment_id=done.previous_deployment_id,
            taken=done.taken,
        )

    @routing.handler(**declared(ROUTING_UNDO))
    async def undo(ctx: ObjectContext, request: UndoRequest) -> UndoReply:
        """Gives back what an intent took and still holds. Repeatable."""
        done = await Journal(ctx, deps, "routing").step(
            "undo", undo_routes, request.deployment_id, request.operation_id
        )
        return UndoReply(version=done.version, hostnames=done.hostnames, removed=done.removed)

    @routing.handler(**declared(ROUTING_RETIRE))
    async def retire(ctx: ObjectContext, request: RetireRequest) -> RetireReply:
        """Stops a deployment that nothing shared points at, or that a user stops; else does nothing. Repeatable."""
        journal = Journal(ctx, deps, "routing")
        done = await journal.step(
            "retire",
            stopping.retire_deployment,
            request.deployment_id,
            request.only_standby,
            request.run_state_at,
            request.operation_id,
        )
        if done.stopped:
            confirm_stopped_later(journal, ctx.key(), request.deployment_id)
        elif done.look_again and request.run_state_at:  # a user's stop fails with a reason instead
            pause_ms = int(deps.config.deploy.wait_poll_s * 1000)
            journal.send(ROUTING_RETIRE, ctx.key(), request, delay_ms=pause_ms)
        return RetireReply(stopped=done.stopped)

    @routing.handler(**declared(ROUTING_CLEAR))
    async def clear(ctx: ObjectContext, request: ClearRequest) -> ClearReply:
        """Takes away the routes of what is deleted in the environment, and stops it. Repeatable."""
        done = await Journal(ctx, deps, "routing").step("clear", clear_routes, request.deletion_id, ctx.key())
        return ClearReply(version=done.version, look_again=done.look_again)

    @routing.handler(**declared(ROUTING_CONFIRM_STOPPED))
    async def confirm_stopped(ctx: ObjectContext, request: SettleRequest) -> Empty:
        """Marks a stopping deployment stopped once no region reports an instance; otherwise checks again later."""
        journal = Journal(ctx, deps, "routing")
        done = await journal.step("settle", stopping.confirm_stopped, request.deployment_id)
        if done.look_again:
            confirm_stopped_later(journal, ctx.key(), request.deployment_id)
        return Empty()

    return routing
