"""Waits for a build and shows its progress."""

import asyncio
import time
from contextlib import suppress

from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.build_log import BuildLine, BuildLog
from sealift.cli.format.enum_names import build_status_name
from sealift.cli.format.text import queued_text
from sealift.cli.format.timeline import Phase, Timeline
from sealift.cli.outcome import build_outcome_of
from sealift.cli.output.port import Output
from sealift.cli.recorded import Recorded
from sealift.client.client import Client
from sealift.client.errors import ClientError
from sealift.client.follow import follow_build, follow_build_logs
from sealift.ctrl.v1 import build_pb2, deployment_pb2

# The log may end shortly after the build; its lines must not appear after the outcome.
LOG_GRACE_S = 3.0
_BAD_ENDS = (build_pb2.BUILD_STATUS_FAILED, build_pb2.BUILD_STATUS_CANCELLED)


def build_steps(build: build_pb2.Build) -> list[deployment_pb2.DeploymentStep]:
    """The steps of a build, as a deployment with that build has them."""
    error = build_status_name(build.status) if build.status in _BAD_ENDS else ""
    queued = deployment_pb2.DeploymentStep(
        name="queued",
        started_at=build.created_at,
        ended_at=build.started_at or build.ended_at,
        error="" if build.started_at else error,
    )
    building = deployment_pb2.DeploymentStep(
        name="building", started_at=build.started_at, ended_at=build.ended_at, error=error
    )
    return [queued, building] if build.started_at else [queued]


class BuildWatch:
    """Follows one build to its end: its steps and its log."""

    def __init__(self, client: Client, output: Output, began: float) -> None:
        """`began`: start of the command (`time.monotonic`)."""
        self._client = client
        self._output = output
        self._began = began
        self._timeline = Timeline()
        self._log = BuildLog()
        self._reason = ""
        self._changed = asyncio.Event()
        self._has_begun = asyncio.Event()

    async def follow(self, build_id: str, wait_timeout_s: float) -> int:
        """Show the build until it ends; return the exit code.

        An interrupt or timeout leaves the build running, and says so.
        """
        recorded = Recorded.build(build_id)
        try:
            async with asyncio.timeout(wait_timeout_s):
                build = await self._to_the_end(build_id)
        except TimeoutError:
            self._output.stopped_waiting(recorded, f"no outcome after {wait_timeout_s:.0f} s", ExitCode.NOT_HEALTHY)
            return ExitCode.NOT_HEALTHY
        except asyncio.CancelledError:
            self._output.stopped_waiting(recorded, "interrupted", ExitCode.INTERRUPTED)
            raise
        outcome = build_outcome_of(build, (time.monotonic() - self._began) * 1000, self._log.tail())
        self._output.build_outcome(outcome)
        return outcome.code

    async def _to_the_end(self, build_id: str) -> build_pb2.Build:
        build = build_pb2.Build()
        log = asyncio.create_task(self._show_log(build_id))
        try:
            async for build in follow_build(self._client, build_id, changed=self._changed, notice=self._output.note):
                self._show_reason(build.queued_reason)
                for event in self._timeline.feed(build_steps(build)):
                    if event.name == "building":
                        self._has_begun.set()
                        if event.phase is not Phase.STARTED:
                            await asyncio.wait({log}, timeout=LOG_GRACE_S)
                    self._output.step(event)
        finally:
            log.cancel()
            await asyncio.wait({log})
            if not log.cancelled():
                log.result()  # raises OutputError
        return build

    def _show_reason(self, reason: str) -> None:
        """Show once why the build has not started."""
        if reason and reason != self._reason:
            self._output.note(queued_text(reason))
        self._reason = reason

    async def _show_log(self, build_id: str) -> None:
        """Show the log, after the end of the queued step; the state is read again at its first event and its end."""
        try:
            async for event in follow_build_logs(self._client, build_id, notice=self._output.note):
                if not self._has_begun.is_set():
                    self._changed.set()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._has_begun.wait(), LOG_GRACE_S)
                shown = self._log.feed(event)
                if isinstance(shown, BuildLine):
                    self._output.build_line(shown)
                elif shown:
                    self._output.build_step(shown)
                if event.WhichOneof("event") == "end":
                    self._changed.set()
        except ClientError as error:
            self._output.warn(f"can't follow the build log ({error.message}); the build continues")
