"""A promote, rollback, stop, scale or restart, as a list of named steps, and its handlers."""

import logging

from restate import TerminalError, Workflow, WorkflowContext

from pkg.observability.logging import bind
from pkg.operations.model import OperationKind
from pkg.workflows.switch import SWITCH, SWITCH_APPLIED, SWITCH_INSTANCES_CHANGED, SWITCH_RUN
from sealift.workflow.v1.workflow_pb2 import SwitchRequest, SwitchResult
from svc.worker.deps import WorkerDeps
from svc.worker.handlers import check_code, declared, resolves
from svc.worker.journal import Journal
from svc.worker.workflows.compensation import Compensations, WorkflowExit
from svc.worker.workflows.switch.instances import start_target, stop_target
from svc.worker.workflows.switch.processes import start_processes, wait_for_processes
from svc.worker.workflows.switch.record import SwitchInput, begin, complete, end, note_abort
from svc.worker.workflows.switch.rolling import roll
from svc.worker.workflows.switch.routes import take_routes, wait_until_applied
from svc.worker.workflows.waiting import APPLIED, INSTANCES

CODE_VERSION = 4  # one more whenever a step is added, removed, renamed or moved

log = logging.getLogger(__name__)


class Switch:
    """The handler of `Switch.run`. Whatever happens, the operation ends as done or failed."""

    def __init__(self, deps: WorkerDeps) -> None:
        self._deps = deps

    async def run(self, ctx: WorkflowContext, request: SwitchRequest) -> SwitchResult:
        """Carries the operation out; Restate repeats it until it has ended."""
        operation_id = request.operation_id or ctx.key()
        with bind(operation_id=operation_id):
            journal = Journal(ctx, self._deps, "switch")
            switch = await journal.step("begin", begin, operation_id, CODE_VERSION)
            check_code(switch.code_version, CODE_VERSION, f"Switch {operation_id}")
            if switch.is_over:
                return SwitchResult(operation_id=operation_id, status=switch.status, error_code=switch.error_code)
            journal.traceparent = journal.traceparent or switch.traceparent
            with bind(deployment_id=switch.deployment_id):
                return await self._switch(ctx, journal, switch)

    async def _switch(self, ctx: WorkflowContext, journal: Journal, switch: SwitchInput) -> SwitchResult:
        undo, notices = Compensations(), list[str]()
        try:
            kind = OperationKind(switch.kind)
            if kind.is_stop:
                await stop_target(ctx, journal, switch)
            elif not kind.moves_routes:
                await roll(ctx, journal, switch, undo)
            else:
                if switch.is_cold:
                    await start_target(ctx, journal, switch, undo)
                elif switch.starts_processes:
                    await start_processes(journal, switch, undo)
                moved = await take_routes(journal, switch, undo)
                await wait_until_applied(ctx, journal, switch, moved)
                if switch.starts_processes:
                    notices = await wait_for_processes(ctx, journal, switch)
            await complete(journal, switch, notices)
            return SwitchResult(operation_id=switch.operation_id, status="done")
        except WorkflowExit:
            pass  # the reason is noted in the row
        except TerminalError as error:
            # an operator's kill or cancel in Restate, or the target was stopped between two steps
            log.warning("switch aborted: %s", error.message)
            await journal.step("note abort", note_abort, switch.operation_id, error.message)
        await undo.run()
        ended = await journal.step("end", end, switch.operation_id)
        return SwitchResult(operation_id=switch.operation_id, status=ended.status, error_code=ended.error_code)


def service(deps: WorkerDeps) -> Workflow:
    """The handlers, with these dependencies."""
    workflow = Workflow(SWITCH.name)
    switch = Switch(deps)

    @workflow.main(**declared(SWITCH_RUN))
    async def run(ctx: WorkflowContext, request: SwitchRequest) -> SwitchResult:
        """Carries out the operation that is the key."""
        return await switch.run(ctx, request)

    resolves(workflow, SWITCH_INSTANCES_CHANGED, INSTANCES)
    resolves(workflow, SWITCH_APPLIED, APPLIED)
    return workflow
