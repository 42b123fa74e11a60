"""The end of a build: the row's outcome, told."""

import logging

import msgspec
from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus
from sealift.workflow.v1.workflow_pb2 import BuildResult
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.ends import End

log = logging.getLogger(__name__)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """See BuildResult."""

    build_id: str
    status: str
    image_ref: str
    error_code: str


async def end(deps: WorkerDeps, build_id: str, why: End) -> Ended:
    """Gives the row a terminal status if it has none: cancelled, or failed when it was aborted. Idempotent."""

    def write(connection: Connection) -> tuple[Ended, int]:
        now = deps.clock()
        if why is End.FAILED:
            builds.finish(
                connection, build_id, BuildStatus.FAILED, now, error_code="build.aborted",
                error_message="The build was aborted in the workflow engine. Deploy again.",
            )  # fmt: skip
        else:
            builds.finish(connection, build_id, BuildStatus.CANCELLED, now)
        found = builds.get(connection, build_id)
        assert found is not None
        ended = Ended(
            build_id=build_id,
            status=found.status,
            image_ref=found.image_ref,
            error_code=found.error_code or "",
        )
        return ended, (found.ended_at or now) - (found.started_at or found.ended_at or now)

    ended, took_ms = await deps.db.write(write)
    deps.metrics.build_ended(ended.status, took_ms / 1000)
    return ended


def result(ended: Ended) -> BuildResult:
    """For the workflow's caller: ids and verdicts only."""
    return BuildResult(
        build_id=ended.build_id, status=ended.status, image_ref=ended.image_ref, error_code=ended.error_code
    )
