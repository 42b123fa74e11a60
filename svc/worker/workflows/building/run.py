"""A build, as a list of named steps."""

import logging

from restate import TerminalError, WorkflowContext

from pkg.observability.logging import bind
from sealift.workflow.v1.workflow_pb2 import BuildRequest, BuildResult
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal, check_code
from svc.worker.workflows.building.attempts import make_attempts
from svc.worker.workflows.building.check import check_archive
from svc.worker.workflows.building.ending import end, result
from svc.worker.workflows.building.open import Opened, begin, open_build
from svc.worker.workflows.building.slot import acquire_slot, release_slot
from svc.worker.workflows.ends import End, GiveUpError
from svc.worker.workflows.waiting import Stop

CODE_VERSION = 1  # one more whenever a step is added, removed, renamed or moved

log = logging.getLogger(__name__)


class Build:
    """The handler of `Build.run`. Whatever happens, the row ends in exactly one terminal status."""

    def __init__(self, deps: WorkerDeps) -> None:
        self._deps = deps

    async def run(self, ctx: WorkflowContext, request: BuildRequest) -> BuildResult:
        """Runs the build; repeated by Restate until it has ended."""
        build_id = request.build_id or ctx.key()
        with bind(build_id=build_id):
            journal = Journal(ctx, self._deps, "build")
            opened = await journal.step("open", open_build, build_id, CODE_VERSION)
            check_code(opened.code_version, CODE_VERSION, f"Build {build_id}")
            if opened.is_over:
                return result(await journal.step("end", end, build_id, End.OVER))
            journal.traceparent = journal.traceparent or opened.traceparent
            return await self._build(ctx, journal, opened)

    async def _build(self, ctx: WorkflowContext, journal: Journal, opened: Opened) -> BuildResult:
        why, stop = End.OVER, Stop(ctx)
        try:
            await acquire_slot(ctx, journal, opened, stop)
            await begin(journal, opened)
            await check_archive(journal, opened)
            await make_attempts(journal, opened, stop)
        except GiveUpError as gave_up:
            why = gave_up.end
        except TerminalError as error:
            log.warning("build aborted: %s", error.message)
            why = End.FAILED
        ended = await journal.step("end", end, opened.build_id, why)
        release_slot(journal, opened)
        return result(ended)
