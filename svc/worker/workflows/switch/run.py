"""A promote, rollback or stop, as a list of named steps."""

import logging

from restate import TerminalError, WorkflowContext

from pkg.observability.logging import bind
from pkg.operations.model import OperationKind
from sealift.workflow.v1.workflow_pb2 import SwitchRequest, SwitchResult
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal, check_code
from svc.worker.workflows.ends import Compensations, GiveUpError
from svc.worker.workflows.switch.begin import Begun, begin
from svc.worker.workflows.switch.done import complete
from svc.worker.workflows.switch.ending import end, note_abort
from svc.worker.workflows.switch.routes import assign_routes, wait_applied
from svc.worker.workflows.switch.stop import stop_target
from svc.worker.workflows.switch.wake import wake

CODE_VERSION = 2  # one more whenever a step is added, removed, renamed or moved

log = logging.getLogger(__name__)


class Switch:
    """The handler of `Switch.run`. Whatever happens, the operation ends as done or failed."""

    def __init__(self, deps: WorkerDeps) -> None:
        self._deps = deps

    async def run(self, ctx: WorkflowContext, request: SwitchRequest) -> SwitchResult:
        """Carries the operation out; repeated by Restate until it has ended."""
        operation_id = request.operation_id or ctx.key()
        with bind(operation_id=operation_id):
            journal = Journal(ctx, self._deps, "switch")
            begun = await journal.step("begin", begin, operation_id, CODE_VERSION)
            check_code(begun.code_version, CODE_VERSION, f"Switch {operation_id}")
            if begun.is_over:
                return SwitchResult(operation_id=operation_id, status=begun.status, error_code=begun.error_code)
            journal.traceparent = journal.traceparent or begun.traceparent
            with bind(deployment_id=begun.deployment_id):
                return await self._switch(ctx, journal, begun)

    async def _switch(self, ctx: WorkflowContext, journal: Journal, begun: Begun) -> SwitchResult:
        undo = Compensations()
        try:
            if OperationKind(begun.kind).is_stop:
                await stop_target(ctx, journal, begun)
            else:
                if begun.is_cold:
                    await wake(ctx, journal, begun, undo)
                moved = await assign_routes(journal, begun, undo)
                await wait_applied(ctx, journal, begun, moved)
            await complete(journal, begun)
            return SwitchResult(operation_id=begun.operation_id, status="done")
        except GiveUpError:
            pass
        except TerminalError as error:
            # an operator's kill or cancel in Restate, or the target was stopped between two steps
            log.warning("switch aborted: %s", error.message)
            await journal.step("note abort", note_abort, begun.operation_id, error.message)
        await undo.run()
        ended = await journal.step("end", end, begun.operation_id)
        return SwitchResult(operation_id=begun.operation_id, status=ended.status, error_code=ended.error_code)
