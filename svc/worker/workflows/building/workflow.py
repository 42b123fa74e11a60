"""A build, as a list of named steps, and its handlers."""

import logging
from datetime import timedelta

from restate import TerminalError, Workflow, WorkflowContext

from pkg.observability.logging import bind
from pkg.workflows.building import BUILD, BUILD_RUN, BUILD_STOP
from sealift.workflow.v1.workflow_pb2 import BuildRequest, BuildResult
from svc.worker.deps import WorkerDeps
from svc.worker.handlers import check_code, declared, resolves
from svc.worker.journal import Journal
from svc.worker.workflows.building.attempts import make_attempts
from svc.worker.workflows.building.preparation import acquire_slot, begin, check_archive, release_slot
from svc.worker.workflows.building.record import BuildInput, end, read_input, result
from svc.worker.workflows.compensation import ExitReason, WorkflowExit
from svc.worker.workflows.waiting import STOP, StopSignal

CODE_VERSION = 1  # one more whenever a step is added, removed, renamed or moved
# On top of the build timeout: reading the archive, and writing the outcome.
ABORT_MARGIN = timedelta(minutes=10)


def abort_timeout(timeout_s: int) -> timedelta:
    """How long Restate waits for a step: it must never cut off a solve within its timeout."""
    return timedelta(seconds=timeout_s) + ABORT_MARGIN


log = logging.getLogger(__name__)


class Build:
    """The handler of `Build.run`. Whatever happens, the row ends in exactly one terminal status."""

    def __init__(self, deps: WorkerDeps) -> None:
        self._deps = deps

    async def run(self, ctx: WorkflowContext, request: BuildRequest) -> BuildResult:
        """Runs the build; Restate repeats it until it has ended."""
        build_id = request.build_id or ctx.key()
        with bind(build_id=build_id):
            journal = Journal(ctx, self._deps, "build")
            build = await journal.step("open", read_input, build_id, CODE_VERSION)
            check_code(build.code_version, CODE_VERSION, f"Build {build_id}")
            if build.is_over:
                return result(await journal.step("end", end, build_id, ExitReason.OVER))
            journal.traceparent = journal.traceparent or build.traceparent
            return await self._build(ctx, journal, build)

    async def _build(self, ctx: WorkflowContext, journal: Journal, build: BuildInput) -> BuildResult:
        reason, stop = ExitReason.OVER, StopSignal(ctx)
        try:
            await acquire_slot(ctx, journal, build, stop)
            await begin(journal, build)
            await check_archive(journal, build)
            await make_attempts(journal, build, stop)
        except WorkflowExit as left:
            reason = left.reason
        except TerminalError as error:
            log.warning("build aborted: %s", error.message)
            reason = ExitReason.FAILED
        ended = await journal.step("end", end, build.build_id, reason)
        release_slot(journal, build)
        return result(ended)


def service(deps: WorkerDeps) -> Workflow:
    """The handlers, with these dependencies."""
    workflow = Workflow(BUILD.name, abort_timeout=abort_timeout(deps.config.build.timeout_s))
    build = Build(deps)

    @workflow.main(**declared(BUILD_RUN))
    async def run(ctx: WorkflowContext, request: BuildRequest) -> BuildResult:
        """Builds the build that is the key."""
        return await build.run(ctx, request)

    # ends the wait for a slot; a solve that runs watches the database itself
    resolves(workflow, BUILD_STOP, STOP)
    return workflow
