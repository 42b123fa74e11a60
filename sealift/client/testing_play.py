"""How a deployment goes on `testing.FakeServer`: a `Play`, and the scenarios that move it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from sealift.ctrl.v1 import build_pb2, deployment_pb2


class Stage(Protocol):
    """What a play needs of its server."""

    def make_live(self, deployment: deployment_pb2.Deployment) -> None:
        """Give a deployment the environment's route."""


def now_ms() -> int:
    """UTC in epoch milliseconds."""
    return int(time.time() * 1000)


class Play:
    """One deployment under way, as a scenario moves it. Every change reaches the watchers at once."""

    def __init__(self, server: Stage, deployment: deployment_pb2.Deployment) -> None:
        self.deployment = deployment
        self.events: list[build_pb2.GetBuildLogsResponse] = []
        self.build = build_pb2.Build(
            build_id=deployment.build_id, deployment_id=deployment.deployment_id, status=build_pb2.BUILD_STATUS_RUNNING
        )
        self.changed = asyncio.Condition()
        self.version = 0
        self.cancelled = asyncio.Event()
        self._server = server

    async def begin(self, step: str) -> None:
        """Begin a step of the deployment, and end the one before."""
        self._close_step()
        status = getattr(deployment_pb2, f"DEPLOYMENT_STATUS_{step.upper()}", deployment_pb2.DEPLOYMENT_STATUS_PENDING)
        if step == "finalizing":
            status = deployment_pb2.DEPLOYMENT_STATUS_NETWORK
        self.deployment.status = status
        self.deployment.steps.add(name=step, started_at=now_ms())
        await self.tell()

    async def build_step(self, step_id: str, name: str, state: "build_pb2.BuildStepState.ValueType") -> None:
        """A step of the build has this state now."""
        ended = now_ms() if state != build_pb2.BUILD_STEP_STATE_STARTED else 0
        step = build_pb2.BuildStep(step_id=step_id, name=name, state=state, started_at=now_ms(), ended_at=ended)
        await self._log(build_pb2.GetBuildLogsResponse(step=step))

    async def line(self, step_id: str, text: str) -> None:
        """The build prints a line."""
        stream = build_pb2.BUILD_LOG_STREAM_STDOUT
        line = build_pb2.BuildLogLine(step_id=step_id, stream=stream, text=text)
        await self._log(build_pb2.GetBuildLogsResponse(line=line))

    async def end_build(self, status: "build_pb2.BuildStatus.ValueType") -> None:
        """The build has ended."""
        self.build.status = status
        await self._log(build_pb2.GetBuildLogsResponse(end=self.build))

    async def end(
        self, status: "deployment_pb2.DeploymentStatus.ValueType", *, code: str = "", message: str = "", step: str = ""
    ) -> None:
        """The deployment has ended."""
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


Scenario = Callable[[Play], Awaitable[None]]


async def goes_live(play: Play) -> None:
    """Everything works."""
    await play.begin("queued")
    if play.deployment.build_id:
        await play.begin("building")
        await play.build_step("a", "[1/2] FROM base", build_pb2.BUILD_STEP_STATE_CACHED)
        await play.build_step("b", "[2/2] RUN make", build_pb2.BUILD_STEP_STATE_STARTED)
        await play.line("b", "compiling")
        await play.line("b", "linking")
        await play.build_step("b", "[2/2] RUN make", build_pb2.BUILD_STEP_STATE_COMPLETED)
        await play.end_build(build_pb2.BUILD_STATUS_SUCCEEDED)
    for step in ("deploying", "network", "finalizing"):
        await play.begin(step)
    await play.end(deployment_pb2.DEPLOYMENT_STATUS_READY)


async def is_held(play: Play) -> None:
    """The server waits for an upgrade; then everything works."""
    play.deployment.queued_reason = "an upgrade is near"
    await play.begin("queued")
    await play.tell()
    await play.cancelled.wait()
    play.deployment.queued_reason = ""
    await goes_live(play)


async def building_fails(play: Play) -> None:
    """A command of the Dockerfile ends with code 7."""
    await play.begin("building")
    await play.build_step("b", "[2/2] RUN make", build_pb2.BUILD_STEP_STATE_STARTED)
    await play.line("b", "make: *** no rule to make target")
    await play.build_step("b", "[2/2] RUN make", build_pb2.BUILD_STEP_STATE_FAILED)
    await play.end_build(build_pb2.BUILD_STATUS_FAILED)
    failed = deployment_pb2.DEPLOYMENT_STATUS_FAILED
    await play.end(failed, code="build.command_failed", message='"make" ended with code 7', step="building")


async def never_healthy(play: Play) -> None:
    """The app listens on another port."""
    await play.begin("deploying")
    failed = deployment_pb2.DEPLOYMENT_STATUS_FAILED
    await play.end(failed, code="deploy.not_healthy", message="nothing answers on port 8080", step="deploying")


async def waits_for_cancel(play: Play) -> None:
    """Builds until it is cancelled."""
    await play.begin("building")
    await play.cancelled.wait()
    await play.end_build(build_pb2.BUILD_STATUS_CANCELLED)
    await play.end(deployment_pb2.DEPLOYMENT_STATUS_CANCELLED)
