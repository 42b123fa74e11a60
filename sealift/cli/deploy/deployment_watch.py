"""Waits for a deployment and shows its progress."""

import asyncio
import time
from pathlib import Path

from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.build_log import BuildLine, BuildLog
from sealift.cli.format.text import clean, queued_text
from sealift.cli.format.timeline import Phase, Timeline
from sealift.cli.outcome import COMMAND_CODES, outcome_of
from sealift.cli.output.port import Output
from sealift.cli.project.detection import detect_start_command
from sealift.cli.recorded import Recorded
from sealift.client.client import Client
from sealift.client.errors import ClientError
from sealift.client.follow import follow_build_logs, follow_deployment
from sealift.ctrl.v1 import deployment_pb2

# The build log may end shortly after the build step; its lines must not appear after the outcome.
LOG_GRACE_S = 3.0


class DeploymentWatch:
    """Follows one deployment to its end: its steps and its build log."""

    def __init__(self, client: Client, output: Output, began: float, root: Path | None = None) -> None:
        """`began`: start of the command (`time.monotonic`). `root`: the deployed directory, if any."""
        self._client = client
        self._output = output
        self._began = began
        self._root = root
        self._timeline = Timeline()
        self._log = BuildLog()
        self._reason = ""
        self._port_notices: set[str] = set()

    async def follow(self, deployment_id: str, wait_timeout_s: float) -> int:
        """Show the deployment until it ends; return the exit code.

        An interrupt or timeout leaves the deployment running, and says so.
        """
        try:
            async with asyncio.timeout(wait_timeout_s):
                deployment = await self._to_the_end(deployment_id)
        except TimeoutError:
            self._output.stopped_waiting(
                Recorded.deployment(deployment_id), f"no outcome after {wait_timeout_s:.0f} s", ExitCode.NOT_HEALTHY
            )
            return ExitCode.NOT_HEALTHY
        except asyncio.CancelledError:
            self._output.stopped_waiting(Recorded.deployment(deployment_id), "interrupted", ExitCode.INTERRUPTED)
            raise
        total_ms = (time.monotonic() - self._began) * 1000
        outcome = outcome_of(deployment, total_ms, self._log.tail(), await self._advice(deployment.error.code))
        self._output.outcome(outcome)
        return outcome.code

    async def _advice(self, error_code: str) -> tuple[str, ...]:
        """Advice from the deployed directory for a start that failed because of its command."""
        if self._root is None or error_code not in COMMAND_CODES:
            return ()
        start = await asyncio.to_thread(detect_start_command, self._root)
        return (start.advice(),) if start else ()

    async def _to_the_end(self, deployment_id: str) -> deployment_pb2.Deployment:
        deployment = deployment_pb2.Deployment()
        log: asyncio.Task[None] | None = None
        try:
            async for deployment in follow_deployment(self._client, deployment_id, notice=self._output.note):
                self._show_reason(deployment.queued_reason)
                self._show_ports(deployment)
                is_earlier = deployment.source == deployment_pb2.DEPLOYMENT_SOURCE_BUILD
                if deployment.build_id and log is None and not is_earlier:
                    log = asyncio.create_task(self._show_log(deployment.build_id))
                for event in self._timeline.feed(deployment.steps):
                    if event.name == "building" and event.phase is not Phase.STARTED and log:
                        await asyncio.wait({log}, timeout=LOG_GRACE_S)
                    self._output.step(event)
        finally:
            if log:
                log.cancel()
                await asyncio.wait({log})
                if not log.cancelled():
                    log.result()  # raises OutputError
        return deployment

    def _show_reason(self, reason: str) -> None:
        """Show once why the deployment has not started."""
        if reason and reason != self._reason:
            self._output.note(queued_text(reason))
        self._reason = reason

    def _show_ports(self, deployment: deployment_pb2.Deployment) -> None:
        """Show once per reason why no port of an instance can be used yet."""
        for instance in deployment.instances:
            if instance.port_notice and instance.port_notice not in self._port_notices:
                self._port_notices.add(instance.port_notice)
                self._output.note(f"waiting: {clean(instance.port_notice)}")

    async def _show_log(self, build_id: str) -> None:
        """Show a build's log. Errors are warnings, because the deployment continues."""
        try:
            async for event in follow_build_logs(self._client, build_id, notice=self._output.note):
                shown = self._log.feed(event)
                if isinstance(shown, BuildLine):
                    self._output.build_line(shown)
                elif shown:
                    self._output.build_step(shown)
        except ClientError as error:
            self._output.warn(f"can't follow the build log ({error.message}); the deployment continues")
