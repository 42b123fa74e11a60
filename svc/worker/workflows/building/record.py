"""The build's row: what the workflow reads first, and the outcome that it writes last."""

import msgspec
from restate import TerminalError
from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus
from sealift.workflow.v1.workflow_pb2 import BuildResult
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.compensation import ExitReason


class BuildInput(msgspec.Struct, frozen=True, kw_only=True):
    """What the workflow needs of its row; none of it changes later."""

    code_version: int
    build_id: str
    is_over: bool
    workspace_id: str
    traceparent: str


async def read_input(deps: WorkerDeps, build_id: str, code_version: int) -> BuildInput:
    """Reads the row."""

    def read(connection: Connection) -> BuildInput:
        found = builds.get(connection, build_id)
        if found is None:
            raise TerminalError(f"no build {build_id}", status_code=404)
        return BuildInput(
            code_version=code_version,
            build_id=found.id,
            is_over=found.status.is_terminal or found.cancel_requested_at is not None,
            workspace_id=found.workspace_id,
            traceparent=found.traceparent,
        )

    return await deps.db.read(read)


class BuildOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """See BuildResult."""

    build_id: str
    status: str
    image_ref: str
    error_code: str


async def end(deps: WorkerDeps, build_id: str, reason: ExitReason) -> BuildOutcome:
    """Gives the row a terminal status if it has none: cancelled, or failed when it was aborted. Idempotent."""

    def write(connection: Connection) -> tuple[BuildOutcome, int]:
        now = deps.clock()
        if reason is ExitReason.FAILED:
            builds.finish(
                connection, build_id, BuildStatus.FAILED, now, error_code="build.aborted",
                error_message="The build was aborted in the workflow engine. Try again.",
            )  # fmt: skip
        else:
            builds.finish(connection, build_id, BuildStatus.CANCELLED, now)
        found = builds.get(connection, build_id)
        assert found is not None
        ended = BuildOutcome(
            build_id=build_id,
            status=found.status,
            image_ref=found.image_ref,
            error_code=found.error_code or "",
        )
        return ended, (found.ended_at or now) - (found.started_at or found.ended_at or now)

    ended, took_ms = await deps.db.write(write)
    deps.metrics.build_ended(ended.status, took_ms / 1000)
    return ended


def result(ended: BuildOutcome) -> BuildResult:
    """For the workflow's caller: ids and outcomes only."""
    return BuildResult(
        build_id=ended.build_id, status=ended.status, image_ref=ended.image_ref, error_code=ended.error_code
    )
