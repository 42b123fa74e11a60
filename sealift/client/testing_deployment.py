"""The deployments of `testing.FakeServer`: `FakeDeployment`s driven by a scenario."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from sealift.ctrl.v1 import build_pb2, deployment_pb2, log_pb2


class LiveRoutes(Protocol):
    """What a fake deployment needs of its server."""

    def make_live(self, deployment: deployment_pb2.Deployment) -> None:
        """Give a deployment the environment's route."""


def now_ms() -> int:
    """UTC in epoch milliseconds."""
    return int(time.time() * 1000)


class FakeDeployment:
    """A running deployment, driven by a scenario. Watchers get every change at once."""

    def __init__(self, server: LiveRoutes, deployment: deployment_pb2.Deployment) -> None:
        self.deployment = deployment
        self.app_lines: list[log_pb2.LogLine] = []
        self.events: list[build_pb2.GetBuildLogsResponse] = []
        self.build = build_pb2.Build(
            build_id=deployment.build_id,
            project_id=deployment.project_id,
            deployment_id=deployment.deployment_id,
            status=build_pb2.BUILD_STATUS_PENDING,
            attempt=1,
            dockerfile_path="Dockerfile",
            created_at=now_ms(),
        )
        self.changed = asyncio.Condition()
        self.version = 0
        self.cancelled = asyncio.Event()
        self._server = server

    async def begin(self, step: str) -> None:
        """Start a step of the deployment, and end the previous one."""
        self._close_step()
        status = getattr(deployment_pb2, f"DEPLOYMENT_STATUS_{step.upper()}", deployment_pb2.DEPLOYMENT_STATUS_PENDING)
        if step == "finalizing":
            status = deployment_pb2.DEPLOYMENT_STATUS_NETWORK
        self.deployment.status = status
        self.deployment.steps.add(name=step, started_at=now_ms())
        if step == "building":
            self.build.status, self.build.started_at = build_pb2.BUILD_STATUS_RUNNING, now_ms()
        await self.tell()

    async def build_step(self, step_id: str, name: str, state: "build_pb2.BuildStepState.ValueType") -> None:
        """Set the state of a build step."""
        ended = now_ms() if state != build_pb2.BUILD_STEP_STATE_STARTED else 0
        step = build_pb2.BuildStep(step_id=step_id, name=name, state=state, started_at=now_ms(), ended_at=ended)
        await self._log(build_pb2.GetBuildLogsResponse(step=step))

    async def line(self, step_id: str, text: str) -> None:
        """Add a build log line."""
        stream = build_pb2.BUILD_LOG_STREAM_STDOUT
        line = build_pb2.BuildLogLine(step_id=step_id, stream=stream, text=text)
        await self._log(build_pb2.GetBuildLogsResponse(line=line))

    async def prints(
        self, text: str, *, is_partial: bool = False, replica: int = 0, stream: int = 1, instance: str = ""
    ) -> None:
        """An instance prints a line; `instance`: or a job of this name."""
        label = self.deployment.deployment_id.replace("_", "-")
        line = log_pb2.LogLine(
            instance_id=instance or f"{label}-{replica}",
            region="local",
            at=1_795_917_600_123,
            text=text,
            is_partial=is_partial,
        )
        line.stream = log_pb2.LogStream.ValueType(stream)
        self.app_lines.append(line)
        await self.tell()

    async def end_build(self, status: "build_pb2.BuildStatus.ValueType", *, code: str = "", message: str = "") -> None:
        """End the build."""
        self.build.status, self.build.ended_at = status, now_ms()
        if code:
            self.build.error.code, self.build.error.message = code, message
        if status == build_pb2.BUILD_STATUS_SUCCEEDED:
            self.build.image_name, self.build.image_ref = f"sealift/hello:{self.build.build_id}", "engine:sha256:1"
            self.build.platform = "linux/amd64"
        await self._log(build_pb2.GetBuildLogsResponse(end=self.build))

    async def end(
        self, status: "deployment_pb2.DeploymentStatus.ValueType", *, code: str = "", message: str = "", step: str = ""
    ) -> None:
        """End the deployment."""
        self._close_step(message if code else "")
        self.deployment.status = status
        self.deployment.ended_at = now_ms()
        if code:
            self.deployment.error.code, self.deployment.error.message, self.deployment.error.step = code, message, step
        if status == deployment_pb2.DEPLOYMENT_STATUS_READY:
            self._server.make_live(self.deployment)
        await self.tell()

    async def tell(self) -> None:
        """Wake the watchers."""
        self.version += 1
        async with self.changed:
            self.changed.notify_all()

    async def _log(self, event: build_pb2.GetBuildLogsResponse) -> None:
        event.seq, event.attempt, event.at = len(self.events) + 1, 1, now_ms()
        self.events.append(event)
        await self.tell()

    def _close_step(self, error: str = "") -> None:
        if self.deployment.steps:
            last = self.deployment.steps[-1]
            last.ended_at, last.error = now_ms(), error


Scenario = Callable[[FakeDeployment], Awaitable[None]]


async def goes_live(fake: FakeDeployment) -> None:
    """Scenario: success."""
    await fake.begin("queued")
    if fake.deployment.build_id and fake.deployment.source != deployment_pb2.DEPLOYMENT_SOURCE_BUILD:
        await fake.begin("building")
        await fake.build_step("a", "[1/2] FROM base", build_pb2.BUILD_STEP_STATE_CACHED)
        await fake.build_step("b", "[2/2] RUN make", build_pb2.BUILD_STEP_STATE_STARTED)
        await fake.line("b", "compiling")
        await fake.line("b", "linking")
        await fake.build_step("b", "[2/2] RUN make", build_pb2.BUILD_STEP_STATE_COMPLETED)
        await fake.end_build(build_pb2.BUILD_STATUS_SUCCEEDED)
    for step in ("deploying", "network", "finalizing"):
        await fake.begin(step)
    await fake.end(deployment_pb2.DEPLOYMENT_STATUS_READY)


async def is_held(fake: FakeDeployment) -> None:
    """Scenario: queued during an upgrade, then success."""
    fake.deployment.queued_reason = "an upgrade is near"
    await fake.begin("queued")
    await fake.tell()
    await fake.cancelled.wait()
    fake.deployment.queued_reason = ""
    await goes_live(fake)


async def building_fails(fake: FakeDeployment) -> None:
    """Scenario: a command of the Dockerfile exits with 7."""
    await fake.begin("building")
    await fake.build_step("b", "[2/2] RUN make", build_pb2.BUILD_STEP_STATE_STARTED)
    await fake.line("b", "make: *** no rule to make target")
    await fake.build_step("b", "[2/2] RUN make", build_pb2.BUILD_STEP_STATE_FAILED)
    code, message = "build.command_failed", '"make" ended with code 7'
    await fake.end_build(build_pb2.BUILD_STATUS_FAILED, code=code, message=message)
    await fake.end(deployment_pb2.DEPLOYMENT_STATUS_FAILED, code=code, message=message, step="building")


async def never_healthy(fake: FakeDeployment) -> None:
    """Scenario: the app listens on another port."""
    await fake.begin("deploying")
    failed = deployment_pb2.DEPLOYMENT_STATUS_FAILED
    await fake.end(failed, code="deploy.not_healthy", message="nothing answers on port 8080", step="deploying")


async def waits_for_slot(fake: FakeDeployment) -> None:
    """Scenario: the build waits for a slot until it is cancelled."""
    fake.build.queued_reason = "all 2 build slots are in use; it starts automatically"
    await fake.tell()
    await fake.cancelled.wait()
    fake.build.queued_reason = ""
    await fake.end_build(build_pb2.BUILD_STATUS_CANCELLED)


async def waits_for_cancel(fake: FakeDeployment) -> None:
    """Scenario: builds until it is cancelled."""
    await fake.begin("building")
    await fake.cancelled.wait()
    await fake.end_build(build_pb2.BUILD_STATUS_CANCELLED)
    await fake.end(deployment_pb2.DEPLOYMENT_STATUS_CANCELLED)
