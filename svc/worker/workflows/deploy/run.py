"""A deploy, as a list of named steps."""

import logging

from restate import TerminalError, WorkflowContext

from pkg.observability.logging import bind
from sealift.workflow.v1.workflow_pb2 import DeployRequest, DeployResult
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal, check_code
from svc.worker.workflows.deploy.build import build
from svc.worker.workflows.deploy.ending import end, note_abort
from svc.worker.workflows.deploy.health import wait_healthy
from svc.worker.workflows.deploy.network import enter_network
from svc.worker.workflows.deploy.open import Opened, open_deploy
from svc.worker.workflows.deploy.place import place
from svc.worker.workflows.deploy.ready import make_ready
from svc.worker.workflows.deploy.routes import assign_routes, wait_applied
from svc.worker.workflows.ends import Compensations, End, GiveUpError
from svc.worker.workflows.waiting import Stop

CODE_VERSION = 1  # one more whenever a step is added, removed, renamed or moved

log = logging.getLogger(__name__)


class Deploy:
    """The handler of `Deploy.run`. Whatever happens, the row ends in exactly one terminal status."""

    def __init__(self, deps: WorkerDeps) -> None:
        self._deps = deps

    async def run(self, ctx: WorkflowContext, request: DeployRequest) -> DeployResult:
        """Runs the deploy; repeated by Restate until it has ended."""
        deployment_id = request.deployment_id or ctx.key()
        with bind(deployment_id=deployment_id):
            journal = Journal(ctx, self._deps, "deploy")
            opened = await journal.step("open", open_deploy, deployment_id, CODE_VERSION)
            check_code(opened.code_version, CODE_VERSION, f"Deploy {deployment_id}")
            if opened.is_over:
                return DeployResult(deployment_id=deployment_id, status=opened.status)
            journal.traceparent = journal.traceparent or opened.traceparent
            return await self._deploy(ctx, journal, opened)

    async def _deploy(self, ctx: WorkflowContext, journal: Journal, opened: Opened) -> DeployResult:
        stop, undo = Stop(ctx), Compensations()
        try:
            await build(journal, opened, stop)
            await place(journal, opened, stop, undo)
            await wait_healthy(ctx, journal, opened, stop)
            await enter_network(journal, opened)
            moved = await assign_routes(journal, opened, undo)
            await wait_applied(ctx, journal, opened, moved)
            await make_ready(journal, opened)
            return DeployResult(deployment_id=opened.deployment_id, status="ready")
        except GiveUpError as gave_up:
            why = gave_up.end
        except TerminalError as error:
            # only an operator's kill or cancel in Restate, or a handler that could not go on, comes here
            log.warning("deploy aborted: %s", error.message)
            await journal.step("note abort", note_abort, opened.deployment_id)
            why = End.FAILED
        await undo.run()
        ended = await journal.step("end", end, opened.deployment_id, why)
        return DeployResult(deployment_id=opened.deployment_id, status=ended.status, error_code=ended.error_code)
