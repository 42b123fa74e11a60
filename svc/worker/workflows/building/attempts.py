"""Attempts, one after the other, until the build has its outcome.

An attempt is one long step: it claims a number, solves, and writes the outcome under that number.
"""

import asyncio
import contextlib
import logging
from typing import Literal

import msgspec
from sqlalchemy import Connection

from pkg.builders.port import BuiltImage
from pkg.builders.sink import TelemetrySink
from pkg.builds import queries as builds
from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind, away_code, away_message
from pkg.builds.model import Build, BuildStatus, RecordedImage
from pkg.errors import Aborted
from pkg.observability.logging import fields
from pkg.telemetry import LogStream
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.building.record import BuildInput
from svc.worker.workflows.building.solve import CancelRequestedError, spec_for, until_cancelled
from svc.worker.workflows.compensation import ExitReason, WorkflowExit
from svc.worker.workflows.waiting import StopSignal

MAX_ATTEMPTS = 20  # crashes count: a build that kills its builder must not be repeated without limit
_SAVE_MARGIN_S = 30  # the builder ends a solve at the timeout itself; this bounds one that does not

# Together a minute: an engine or an api that is being restarted is back by then.
MAX_UNAVAILABLE = 7
FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 30.0

log = logging.getLogger(__name__)


class StoppingError(Exception):
    """The worker is stopping. Restate repeats the step in the next worker, as after a crash."""


class AttemptResult(msgspec.Struct, frozen=True):
    """`ended`: the row has its outcome. `unavailable`: another attempt may succeed; `kind`: a FailureKind."""

    outcome: Literal["ended", "stopped", "unavailable"]
    kind: str = ""


async def make_attempts(journal: Journal, build: BuildInput, stop: StopSignal) -> None:
    """Returns once the row has its outcome. Raises WorkflowExit(STOPPED) when cancelled between two attempts."""
    pause_s, kind = FIRST_PAUSE_S, ""
    for number in range(MAX_UNAVAILABLE):
        if number > 0:
            if await journal.wait(pause_s, stop=stop.future) == "stop":
                raise WorkflowExit(ExitReason.STOPPED)
            pause_s = min(MAX_PAUSE_S, pause_s * 2)
        result = await journal.step("attempt", attempt, build.build_id)
        if result.outcome == "stopped":
            raise WorkflowExit(ExitReason.STOPPED)
        if result.outcome == "ended":
            return
        kind = result.kind
    await journal.step("give up", give_up, build.build_id, MAX_UNAVAILABLE, kind)


async def attempt(deps: WorkerDeps, build_id: str) -> AttemptResult:
    """Runs at least once per call of the step; every run is a separate attempt.

    Raises StoppingError instead of beginning an attempt, or counting its failure, in a worker that is stopping: the api
    that serves the build context may be stopping, too.
    """
    _check_not_stopping(deps)
    build = await deps.db.write(_claim, build_id, deps.clock())
    if build is None:
        return AttemptResult("stopped")
    if build.attempt > MAX_ATTEMPTS:
        message = f"The build was started {MAX_ATTEMPTS} times and lost each time. See the builder's own log."
        return await _finish(deps, build, BuildStatus.FAILED, code="build.too_many_attempts", message=message)
    try:
        return await _run(deps, build)
    except CancelRequestedError:
        log.info("build cancelled", extra=fields(attempt=build.attempt))
        return AttemptResult("stopped")
    except BuildFailed as failed:
        return await _finish(deps, build, BuildStatus.FAILED, code=failed.code, message=failed.message)
    except BuilderUnavailable as unavailable:
        _check_not_stopping(deps)
        log.warning(
            "builder unavailable: %s", unavailable.message, extra=fields(attempt=build.attempt, code=unavailable.code)
        )
        return AttemptResult("unavailable", unavailable.kind)


def _check_not_stopping(deps: WorkerDeps) -> None:
    if deps.stopping.is_set():
        raise StoppingError("the worker is stopping")


async def _run(deps: WorkerDeps, build: Build) -> AttemptResult:
    async with _sink(deps, build) as sink:
        if build.attempt > 1:
            await sink.line("", LogStream.SYSTEM, f"build restarted (attempt {build.attempt})")
        log.info("build attempt begins", extra=fields(attempt=build.attempt))
        try:
            image = await _solve(deps, build, sink)
        except BuilderUnavailable as unavailable:
            if not deps.stopping.is_set():
                with contextlib.suppress(Aborted):  # another attempt has taken over, and writes the log
                    await sink.line("", LogStream.SYSTEM, f"the builder is unavailable: {unavailable.message}")
            raise
    made = RecordedImage(str(image.image_ref), str(image.name), image.platform, image.attestations)
    return await _finish(deps, build, BuildStatus.SUCCEEDED, image=made)


async def _solve(deps: WorkerDeps, build: Build, sink: TelemetrySink) -> BuiltImage:
    try:
        async with asyncio.timeout(deps.config.build.timeout_s + _SAVE_MARGIN_S):
            with deps.tracing.span("builder.solve", build_id=build.id, attempt=build.attempt):
                spec = await spec_for(deps, build)
                return await until_cancelled(deps.db, build.id, deps.builder.build(spec, sink))
    except TimeoutError:
        raise BuilderUnavailable(
            FailureKind.BUILDER_LOST, f"the builder did not answer for {_SAVE_MARGIN_S} s after the timeout"
        ) from None


def _sink(deps: WorkerDeps, build: Build) -> TelemetrySink:
    async def fence() -> None:
        await deps.db.read(builds.require_attempt, build.id, build.attempt)

    return TelemetrySink(deps.telemetry.builds, build.id, build.attempt, fence)


def _claim(connection: Connection, build_id: str, now: int) -> Build | None:
    if builds.claim_attempt(connection, build_id, now) is None:
        return None
    return builds.get(connection, build_id)


async def _finish(
    deps: WorkerDeps,
    build: Build,
    status: BuildStatus,
    *,
    image: RecordedImage | None = None,
    code: str | None = None,
    message: str | None = None,
) -> AttemptResult:
    """Writes the outcome, unless a newer attempt has started: then that one writes it."""

    def write(connection: Connection) -> bool:
        return builds.finish(
            connection,
            build.id,
            status,
            deps.clock(),
            attempt=build.attempt,
            image=image,
            error_code=code,
            error_message=message,
        )

    if await deps.db.write(write):
        log.info("build ended", extra=fields(status=status, attempt=build.attempt, error_code=code or ""))
    return AttemptResult("ended")


async def give_up(deps: WorkerDeps, build_id: str, attempts: int, kind: str) -> None:
    """Ends the build as failed: the builder or registry was away, the last time for the reason `kind`. Idempotent."""

    def write(connection: Connection) -> None:
        builds.finish(
            connection,
            build_id,
            BuildStatus.FAILED,
            deps.clock(),
            error_code=away_code(kind),
            error_message=away_message(kind, deps.builder.name, attempts),
        )

    await deps.db.write(write)
