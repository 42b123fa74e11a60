"""Workflow `Build`, keyed by build id: an image from a build context.

A build of a deployment is started and ended by its `Deploy`; the outbox starts only builds of their own.
"""

from sqlalchemy import Connection, literal

from pkg.builds import queries as builds
from pkg.builds.model import TERMINAL, BuildStatus
from pkg.builds.tables import builds as table
from pkg.deployments import queries as deployments
from pkg.restate import Handler
from pkg.workflows.deploy import LOST_CODE
from pkg.workflows.model import Rows, Workflow
from sealift.workflow.v1.workflow_pb2 import BuildRequest, BuildResult, Empty, StopRequest

BUILD_RUN = Handler("Build", "run", BuildRequest, BuildResult)
BUILD_STOP = Handler("Build", "stop", StopRequest, Empty)


def _end_lost(connection: Connection, build_id: str, now: int) -> int | None:
    found = builds.get(connection, build_id)
    message = "The build ended inside Sealift without saying how: build again."
    ended = builds.finish(connection, build_id, BuildStatus.FAILED, now, error_code=LOST_CODE, error_message=message)
    return found.created_at if ended and found is not None else None


def _end_orphans(connection: Connection, now: int) -> list[str]:
    """Ends builds whose deployment has ended, as cancelled."""
    ended = []
    for build in builds.in_flight(connection):
        owner = None if build.deployment_id is None else deployments.get(connection, build.deployment_id)
        if owner is None or not owner.status.is_terminal:
            continue
        if builds.finish(connection, build.id, BuildStatus.CANCELLED, now):
            ended.append(build.id)
    return ended


BUILD = Workflow(
    run=BUILD_RUN,
    request=lambda key: BuildRequest(build_id=key),
    rows=Rows(table, terminal=TERMINAL, kind=literal("build"), is_dispatched=table.c.deployment_id.is_(None)),
    is_awaited_by_drain=True,
    end_lost=_end_lost,
    end_orphans=_end_orphans,
)
