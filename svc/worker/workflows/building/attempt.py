"""One attempt: a long step that claims its number, solves, and writes the outcome under that number."""

import asyncio
import logging
from typing import Literal

import msgspec
from sqlalchemy import Connection

from pkg.builders import BuilderUnavailable, BuildFailed, FailureKind, TelemetrySink
from pkg.builders.failures import away_message
from pkg.builds import queries as builds
from pkg.builds.model import Build, BuildStatus
from pkg.errors import Aborted
from pkg.observability.logging import fields
from pkg.telemetry import LogStream
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.building.cancel import CancelRequestedError, until_cancelled
from svc.worker.workflows.building.spec import spec_for

MAX_ATTEMPTS = 20  # also the ones lost to crashes: a build that kills its builder must not go on for ever
_SAVE_MARGIN_S = 30  # the backend ends a solve at the timeout itself; this is for one that does not

log = logging.getLogger(__name__)


class StoppingError(Exception):
    """The worker ends. Restate repeats the step in the next one, as after a crash."""


class Tried(msgspec.Struct, frozen=True):
    """`ended`: the row has its outcome. `unavailable`: another attempt may do; `kind` says why (a FailureKind)."""

    outcome: Literal["ended", "stopped", "unavailable"]
    kind: str = ""


async def attempt(deps: WorkerDeps, build_id: str) -> Tried:
    """Runs at least once per call of the step; every run is an attempt of its own.

    Raises StoppingError instead of beginning an attempt, or judging one, in a worker that ends: the api that serves the
    build context may end beside it.
    """
    _check_not_stopping(deps)
    build = await deps.db.write(_claim, build_id, deps.clock())
    if build is None:
        return Tried("stopped")
    if build.attempt > MAX_ATTEMPTS:
        message = f"The build was begun {MAX_ATTEMPTS} times and lost each time. Look at the builder's own log."
        return await _finish(deps, build, BuildStatus.FAILED, code="build.too_many_attempts", message=message)
    try:
        return await _run(deps, build)
    except CancelRequestedError:
        log.info("build cancelled", extra=fields(attempt=build.attempt))
        return Tried("stopped")
    except BuildFailed as failed:
        return await _finish(deps, build, BuildStatus.FAILED, code=failed.code, message=failed.message)
    except BuilderUnavailable as away:
        _check_not_stopping(deps)
        log.warning("builder unavailable: %s", away.message, extra=fields(attempt=build.attempt, code=away.code))
        await _remark(deps, build, f"the builder is unavailable: {away.message}")
        return Tried("unavailable", away.kind)


def _check_not_stopping(deps: WorkerDeps) -> None:
    if deps.stopping.is_set():
        raise StoppingError("the worker is stopping")


async def _run(deps: WorkerDeps, build: Build) -> Tried:
    timeout_s = deps.config.build.timeout_s
    async with TelemetrySink(deps.telemetry, build.id, build.attempt) as sink:
        if build.attempt > 1:
            await sink.line("", LogStream.SYSTEM, f"build restarted (attempt {build.attempt})")
        log.info("build attempt begins", extra=fields(attempt=build.attempt))
        try:
            async with asyncio.timeout(timeout_s + _SAVE_MARGIN_S):
                with deps.tracing.span("builder.solve", build_id=build.id, attempt=build.attempt):
                    spec = await spec_for(deps, build)
                    image = await until_cancelled(deps.db, build.id, deps.builder.build(spec, sink))
        except TimeoutError:
            raise BuilderUnavailable(
                FailureKind.BUILDER_LOST, f"the builder said nothing for {_SAVE_MARGIN_S} s after the timeout"
            ) from None
    return await _finish(deps, build, BuildStatus.SUCCEEDED, image_ref=str(image.image_ref))


def _claim(connection: Connection, build_id: str, now: int) -> Build | None:
    if builds.claim_attempt(connection, build_id, now) is None:
        return None
    return builds.get(connection, build_id)


async def _finish(
    deps: WorkerDeps,
    build: Build,
    status: BuildStatus,
    *,
    image_ref: str = "",
    code: str | None = None,
    message: str | None = None,
) -> Tried:
    """Writes the outcome, unless a newer attempt has begun: then that one writes it."""

    def write(connection: Connection) -> bool:
        return builds.finish(
            connection,
            build.id,
            status,
            deps.clock(),
            attempt=build.attempt,
            image_ref=image_ref,
            error_code=code,
            error_message=message,
        )

    if await deps.db.write(write):
        log.info("build ended", extra=fields(status=status, attempt=build.attempt, error_code=code or ""))
    return Tried("ended")


async def give_up(deps: WorkerDeps, build_id: str, attempts: int, kind: str) -> None:
    """Ends the build as failed: the builder stayed away, the last time for the reason `kind`. Idempotent."""

    def write(connection: Connection) -> None:
        builds.finish(
            connection,
            build_id,
            BuildStatus.FAILED,
            deps.clock(),
            error_code="build.builder_unavailable",
            error_message=away_message(kind, deps.builder.name, attempts),
        )

    await deps.db.write(write)


async def _remark(deps: WorkerDeps, build: Build, text: str) -> None:
    try:
        async with TelemetrySink(deps.telemetry, build.id, build.attempt) as sink:
            await sink.line("", LogStream.SYSTEM, text)
    except Aborted as superseded:
        log.info("remark not recorded: %s", superseded.message)
