"""The handlers of `Switch`, as Restate sees them."""

from restate import Workflow, WorkflowContext, WorkflowSharedContext

from pkg.workflows.switch import SWITCH, SWITCH_APPLIED, SWITCH_INSTANCES_CHANGED, SWITCH_RUN
from sealift.workflow.v1.workflow_pb2 import Empty, NotifyRequest, SwitchRequest, SwitchResult
from svc.worker.declare import declared
from svc.worker.deps import WorkerDeps
from svc.worker.journal import resolve_once
from svc.worker.workflows.switch.run import Switch
from svc.worker.workflows.waiting import APPLIED, INSTANCES


def service(deps: WorkerDeps) -> Workflow:
    """The workflow with these dependencies."""
    workflow = Workflow(SWITCH.name)
    switch = Switch(deps)

    @workflow.main(**declared(SWITCH_RUN))
    async def run(ctx: WorkflowContext, request: SwitchRequest) -> SwitchResult:
        """Carries out the operation that is the key."""
        return await switch.run(ctx, request)

    @workflow.handler(**declared(SWITCH_INSTANCES_CHANGED))
    async def instances_changed(ctx: WorkflowSharedContext, request: NotifyRequest) -> Empty:
        """The regions' reports give a verdict now. Idempotent."""
        await resolve_once(ctx, INSTANCES, request)
        return Empty()

    @workflow.handler(**declared(SWITCH_APPLIED))
    async def applied(ctx: WorkflowSharedContext, request: NotifyRequest) -> Empty:
        """A region has applied routes. Idempotent."""
        await resolve_once(ctx, APPLIED, request)
        return Empty()

    return workflow
