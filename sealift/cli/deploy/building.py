"""Runs a build without a deployment: upload, create, follow."""

import asyncio
from pathlib import Path

from sealift.cli.deploy.build_watch import BuildWatch
from sealift.cli.deploy.context_upload import ContextUpload
from sealift.cli.deploy.plan import Plan
from sealift.cli.deploy.request import StoredContext, build_request
from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.text import CACHE_IS_USED, queued_text, repeated_text
from sealift.cli.output.port import Output
from sealift.cli.recorded import Recorded
from sealift.client.client import Client
from sealift.ctrl.v1 import build_pb2


class BuildRun:
    """Executes one plan."""

    def __init__(self, client: Client, output: Output, began: float) -> None:
        self._client = client
        self._output = output
        self._began = began
        self._is_requested = False

    async def run(self, plan: Plan, directory: Path, *, detach: bool, wait_timeout_s: float) -> int:
        """Build and return the exit code.

        Args:
            plan: what to build.
            directory: the build context.
            detach: return once the server has recorded the build.
            wait_timeout_s: see `BuildWatch.follow`.
        """
        with ContextUpload(self._client, self._output) as upload, self._client.tracing.span("sealift build"):
            build = await self._create(plan, directory, upload)
            self._output.created(Recorded.build(build.build_id))
            if detach:
                if build.queued_reason:
                    self._output.note(queued_text(build.queued_reason))
                self._output.detached(Recorded.build(build.build_id))
                return 0
            with self._client.tracing.span("sealift wait", build_id=build.build_id):
                code = await BuildWatch(self._client, self._output, self._began).follow(build.build_id, wait_timeout_s)
            if code in (ExitCode.OK, ExitCode.BUILD_FAILED):
                await upload.mark_finished()
            return code

    async def _create(self, plan: Plan, directory: Path, upload: ContextUpload) -> build_pb2.Build:
        try:
            plan, project_id, stored = await upload.run(plan, directory)
            return await self._record(plan, project_id, stored)
        except asyncio.CancelledError:
            known = "the build may exist, see: sealift builds" if self._is_requested else "nothing was built"
            self._output.stopped_waiting(Recorded.build(""), f"interrupted; {known}", ExitCode.INTERRUPTED)
            raise

    async def _record(self, plan: Plan, project_id: str, stored: StoredContext) -> build_pb2.Build:
        """Create the build; warn if the user's own idempotency key belongs to an earlier one."""
        self._is_requested = True
        answer = await self._client.create_build(build_request(plan, project_id, stored))
        if answer.already_recorded and plan.idempotency_key is not None:
            made = Recorded.build(answer.build.build_id)
            self._output.warn(repeated_text(plan.idempotency_key, made, answer.build.created_at))
        if plan.no_cache and not answer.build.no_cache:
            self._output.warn(CACHE_IS_USED)
        return answer.build
