"""The handlers of `Deploy`, as Restate sees them."""

from restate import Workflow, WorkflowContext, WorkflowSharedContext

from pkg.workflows.deploy import DEPLOY, DEPLOY_APPLIED, DEPLOY_INSTANCES_CHANGED, DEPLOY_RUN, DEPLOY_STOP
from sealift.workflow.v1.workflow_pb2 import DeployRequest, DeployResult, Empty, NotifyRequest, StopRequest
from svc.worker.declare import declared
from svc.worker.deps import WorkerDeps
from svc.worker.journal import resolve_once
from svc.worker.workflows.deploy.run import Deploy
from svc.worker.workflows.waiting import APPLIED, INSTANCES, STOP


def service(deps: WorkerDeps) -> Workflow:
    """The workflow with these dependencies."""
    workflow = Workflow(DEPLOY.name)
    deploy = Deploy(deps)

    @workflow.main(**declared(DEPLOY_RUN))
    async def run(ctx: WorkflowContext, request: DeployRequest) -> DeployResult:
        """Deploys the deployment that is the key."""
        return await deploy.run(ctx, request)

    @workflow.handler(**declared(DEPLOY_STOP))
    async def stop(ctx: WorkflowSharedContext, request: StopRequest) -> Empty:
        """A cancel, or a newer deploy. Idempotent; without effect from `network` on."""
        await resolve_once(ctx, STOP, request)
        return Empty()

    @workflow.handler(**declared(DEPLOY_INSTANCES_CHANGED))
    async def instances_changed(ctx: WorkflowSharedContext, request: NotifyRequest) -> Empty:
        """The regions' reports give a verdict now. Idempotent."""
        await resolve_once(ctx, INSTANCES, request)
        return Empty()

    @workflow.handler(**declared(DEPLOY_APPLIED))
    async def applied(ctx: WorkflowSharedContext, request: NotifyRequest) -> Empty:
        """A region has applied routes. Idempotent."""
        await resolve_once(ctx, APPLIED, request)
        return Empty()

    return workflow
