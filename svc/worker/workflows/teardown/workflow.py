"""A deletion, as a list of named steps, and its handlers."""

import logging

from restate import TerminalError, Workflow, WorkflowContext

from pkg.observability.logging import bind, fields
from pkg.workflows.objects import ROUTING_CLEAR
from pkg.workflows.teardown import TEARDOWN, TEARDOWN_APPLIED, TEARDOWN_INSTANCES_CHANGED, TEARDOWN_RUN
from sealift.workflow.v1.workflow_pb2 import ClearRequest, TeardownRequest, TeardownResult
from svc.worker.deps import WorkerDeps
from svc.worker.handlers import check_code, declared, resolves
from svc.worker.journal import Journal
from svc.worker.workflows.teardown.content import delete_contexts, delete_telemetry, give_up_images
from svc.worker.workflows.teardown.record import TeardownInput, TeardownOutcome, begin, erase, fail
from svc.worker.workflows.teardown.regions import wait_instances_gone, wait_routes_gone
from svc.worker.workflows.teardown.work import end_all_work
from svc.worker.workflows.waiting import APPLIED, INSTANCES

CODE_VERSION = 1  # one more whenever a step is added, removed, renamed or moved

log = logging.getLogger(__name__)


class Teardown:
    """The handler of `Teardown.run`. Whatever happens, the deletion ends as done or failed."""

    def __init__(self, deps: WorkerDeps) -> None:
        self._deps = deps

    async def run(self, ctx: WorkflowContext, request: TeardownRequest) -> TeardownResult:
        """Deletes; Restate repeats it until it has ended."""
        deletion_id = request.deletion_id or ctx.key()
        with bind(deletion_id=deletion_id):
            journal = Journal(ctx, self._deps, "teardown")
            teardown = await journal.step("begin", begin, deletion_id, CODE_VERSION)
            check_code(teardown.code_version, CODE_VERSION, f"Teardown {deletion_id}")
            if teardown.is_over:
                return TeardownResult(deletion_id=deletion_id, status=teardown.status)
            journal.traceparent = journal.traceparent or teardown.traceparent
            ended = await self._delete(ctx, journal, teardown)
            log.info("deletion ended", extra=fields(status=ended.status, error_code=ended.error_code))
            return TeardownResult(deletion_id=deletion_id, status=ended.status, error_code=ended.error_code)

    async def _delete(self, ctx: WorkflowContext, journal: Journal, teardown: TeardownInput) -> TeardownOutcome:
        try:
            await end_all_work(journal, teardown)
            version = 0
            for environment_id in teardown.environment_ids:
                version = max(version, await self._clear(journal, environment_id, teardown.deletion_id))
            await wait_routes_gone(ctx, journal, teardown, version)
            await wait_instances_gone(ctx, journal, teardown)
            await journal.step("images", give_up_images, teardown.deletion_id)
            await journal.step("contexts", delete_contexts, teardown.deletion_id)
            await journal.step("telemetry", delete_telemetry, teardown.deletion_id)
            return await journal.step("erase", erase, teardown.deletion_id)
        except TerminalError as error:
            # an operator's kill or cancel in Restate
            log.warning("deletion aborted: %s", error.message)
            return await journal.step("fail", fail, teardown.deletion_id)

    async def _clear(self, journal: Journal, environment_id: str, deletion_id: str) -> int:
        """Through Routing, which moves routes one intent at a time; the desired-state version that covers it."""
        while True:
            reply = await journal.call(ROUTING_CLEAR, environment_id, ClearRequest(deletion_id=deletion_id))
            if not reply.look_again:
                return int(reply.version)
            await journal.wait(self._deps.config.deploy.wait_poll_s)


def service(deps: WorkerDeps) -> Workflow:
    """The handlers, with these dependencies."""
    workflow = Workflow(TEARDOWN.name)
    teardown = Teardown(deps)

    @workflow.main(**declared(TEARDOWN_RUN))
    async def run(ctx: WorkflowContext, request: TeardownRequest) -> TeardownResult:
        """Carries out the deletion that is the key."""
        return await teardown.run(ctx, request)

    resolves(workflow, TEARDOWN_INSTANCES_CHANGED, INSTANCES)
    resolves(workflow, TEARDOWN_APPLIED, APPLIED)
    return workflow
