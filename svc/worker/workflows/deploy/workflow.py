"""A deploy, as a list of named steps, and its handlers."""

import logging

from restate import TerminalError, Workflow, WorkflowContext

from pkg.observability.logging import bind
from pkg.workflows.deploy import (
    DEPLOY,
    DEPLOY_APPLIED,
    DEPLOY_INSTANCES_CHANGED,
    DEPLOY_RELEASED,
    DEPLOY_RUN,
    DEPLOY_STOP,
)
from sealift.workflow.v1.workflow_pb2 import DeployRequest, DeployResult
from svc.worker.deps import WorkerDeps
from svc.worker.handlers import check_code, declared, resolves
from svc.worker.journal import Journal
from svc.worker.workflows.compensation import Compensations, ExitReason, WorkflowExit
from svc.worker.workflows.deploy.image import build_image
from svc.worker.workflows.deploy.instances import place, wait_healthy
from svc.worker.workflows.deploy.network import enter_network, wait_until_applied
from svc.worker.workflows.deploy.record import DeployInput, end, make_ready, note_abort, read_input
from svc.worker.workflows.deploy.release import run_release
from svc.worker.workflows.routes import assign_routes
from svc.worker.workflows.waiting import APPLIED, INSTANCES, RELEASED, STOP, StopSignal

CODE_VERSION = 3  # one more whenever a step is added, removed, renamed or moved

log = logging.getLogger(__name__)


class Deploy:
    """The handler of `Deploy.run`. Whatever happens, the row ends in exactly one terminal status."""

    def __init__(self, deps: WorkerDeps) -> None:
        self._deps = deps

    async def run(self, ctx: WorkflowContext, request: DeployRequest) -> DeployResult:
        """Runs the deploy; Restate repeats it until it has ended."""
        deployment_id = request.deployment_id or ctx.key()
        with bind(deployment_id=deployment_id):
            journal = Journal(ctx, self._deps, "deploy")
            deploy = await journal.step("open", read_input, deployment_id, CODE_VERSION)
            check_code(deploy.code_version, CODE_VERSION, f"Deploy {deployment_id}")
            if deploy.is_over:
                return DeployResult(deployment_id=deployment_id, status=deploy.status)
            journal.traceparent = journal.traceparent or deploy.traceparent
            return await self._deploy(ctx, journal, deploy)

    async def _deploy(self, ctx: WorkflowContext, journal: Journal, deploy: DeployInput) -> DeployResult:
        stop, undo = StopSignal(ctx), Compensations()
        try:
            await build_image(journal, deploy, stop)
            await run_release(ctx, journal, deploy, stop, undo)
            await place(journal, deploy, stop, undo)
            await wait_healthy(ctx, journal, deploy, stop)
            await enter_network(journal, deploy)
            moved = await assign_routes(journal, deploy.environment_id, deploy.deployment_id, undo)
            await wait_until_applied(ctx, journal, deploy, moved)
            await make_ready(journal, deploy)
            return DeployResult(deployment_id=deploy.deployment_id, status="ready")
        except WorkflowExit as left:
            reason = left.reason
        except TerminalError as error:
            # an operator's kill or cancel in Restate, or a handler that could not continue
            log.warning("deploy aborted: %s", error.message)
            await journal.step("note abort", note_abort, deploy.deployment_id)
            reason = ExitReason.FAILED
        await undo.run()
        ended = await journal.step("end", end, deploy.deployment_id, reason)
        return DeployResult(deployment_id=deploy.deployment_id, status=ended.status, error_code=ended.error_code)


def service(deps: WorkerDeps) -> Workflow:
    """The handlers, with these dependencies."""
    workflow = Workflow(DEPLOY.name)
    deploy = Deploy(deps)

    @workflow.main(**declared(DEPLOY_RUN))
    async def run(ctx: WorkflowContext, request: DeployRequest) -> DeployResult:
        """Deploys the deployment that is the key."""
        return await deploy.run(ctx, request)

    # a cancel, or a newer deploy: without effect from `network` on
    resolves(workflow, DEPLOY_STOP, STOP)
    resolves(workflow, DEPLOY_INSTANCES_CHANGED, INSTANCES)
    resolves(workflow, DEPLOY_RELEASED, RELEASED)
    resolves(workflow, DEPLOY_APPLIED, APPLIED)
    return workflow
