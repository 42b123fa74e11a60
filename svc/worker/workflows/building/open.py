"""What is to be built, and the moment at which it begins."""

import msgspec
from restate import TerminalError
from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.deployments import queries as deployments
from pkg.deployments.status import Status, Step
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.ends import End, GiveUpError


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What the workflow needs to know of its row; nothing of it changes later."""

    code_version: int
    build_id: str
    is_over: bool
    workspace_id: str
    traceparent: str


async def open_build(deps: WorkerDeps, build_id: str, code_version: int) -> Opened:
    """Reads the row."""

    def read(connection: Connection) -> Opened:
        found = builds.get(connection, build_id)
        if found is None:
            raise TerminalError(f"no build {build_id}", status_code=404)
        return Opened(
            code_version=code_version,
            build_id=found.id,
            is_over=found.status.is_terminal or found.cancel_requested_at is not None,
            workspace_id=found.workspace_id,
            traceparent=found.traceparent,
        )

    return await deps.db.read(read)


class Begun(msgspec.Struct, frozen=True):
    """Whether it is still wanted now that it has a slot."""

    wanted: bool


async def begin(journal: Journal, opened: Opened) -> None:
    """The queue is over: the deployment is `building` from now on. Raises GiveUpError(STOPPED)."""
    begun = await journal.step("begin", begin_build, opened.build_id)
    if not begun.wanted:
        raise GiveUpError(End.STOPPED)


async def begin_build(deps: WorkerDeps, build_id: str) -> Begun:
    """Moves the deployment, if there is one, from `pending` to `building`. Idempotent."""

    def write(connection: Connection) -> Begun:
        now = deps.clock()
        build = builds.get(connection, build_id)
        if build is None or build.status.is_terminal or build.cancel_requested_at is not None:
            return Begun(wanted=False)
        if build.deployment_id is None:
            return Begun(wanted=True)
        if deployments.enter(connection, build.deployment_id, Status.BUILDING, now):
            deployments.end_step(connection, build.deployment_id, Step.QUEUED, now)
            deployments.start_step(connection, build.deployment_id, Step.BUILDING, now)
        deployment = deployments.get(connection, build.deployment_id)
        return Begun(wanted=deployment is not None and deployment.status is Status.BUILDING)

    return await deps.db.write(write)
