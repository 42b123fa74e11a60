"""The handlers of `Build`, as Restate sees them."""

from datetime import timedelta

from restate import Workflow, WorkflowContext, WorkflowSharedContext

from pkg.workflows.building import BUILD, BUILD_RUN, BUILD_STOP
from sealift.workflow.v1.workflow_pb2 import BuildRequest, BuildResult, Empty, StopRequest
from svc.worker.declare import declared
from svc.worker.deps import WorkerDeps
from svc.worker.journal import resolve_once
from svc.worker.workflows.building.run import Build
from svc.worker.workflows.waiting import STOP

# On top of the build timeout: reading the archive, and telling the outcome.
ABORT_MARGIN = timedelta(minutes=10)


def abort_timeout(timeout_s: int) -> timedelta:
    """How long Restate leaves the solve alone: it must never cut off one that is within its time."""
    return timedelta(seconds=timeout_s) + ABORT_MARGIN


def service(deps: WorkerDeps) -> Workflow:
    """The workflow with these dependencies."""
    workflow = Workflow(BUILD.name, abort_timeout=abort_timeout(deps.config.build.timeout_s))
    build = Build(deps)

    @workflow.main(**declared(BUILD_RUN))
    async def run(ctx: WorkflowContext, request: BuildRequest) -> BuildResult:
        """Builds the build that is the key."""
        return await build.run(ctx, request)

    @workflow.handler(**declared(BUILD_STOP))
    async def stop(ctx: WorkflowSharedContext, request: StopRequest) -> Empty:
        """Ends the wait for a slot; a solve that runs watches the database itself. Idempotent."""
        await resolve_once(ctx, STOP, request)
        return Empty()

    return workflow
