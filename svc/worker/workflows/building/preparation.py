"""Before the first attempt: a build slot of the workspace, the status `building`, and a checked archive."""

from typing import Literal

import msgspec
from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.builds import contexts
from pkg.builds import queries as builds
from pkg.builds.model import Build, BuildStatus, Context
from pkg.contexts import ContextRejected
from pkg.deployments import queries as deployments
from pkg.deployments.status import Status, Step
from pkg.errors import NotFound, SealiftError
from pkg.restate.serde import ProtoSerde
from pkg.workflows.objects import SLOT_ACQUIRE, SLOT_RELEASE
from sealift.workflow.v1.workflow_pb2 import Empty, SlotRequest
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.building.record import BuildInput
from svc.worker.workflows.building.uploads import take_in
from svc.worker.workflows.compensation import ExitReason, WorkflowExit
from svc.worker.workflows.waiting import StopSignal

ASK_AGAIN_S = 30


async def acquire_slot(ctx: WorkflowContext, journal: Journal, build: BuildInput, stop: StopSignal) -> None:
    """Waits in the queue. Raises WorkflowExit(STOPPED) when it is cancelled there; its place is released at the end.

    Asks again every ASK_AGAIN_S: each call prunes the queue, so that a lost message costs half a minute.
    """
    awakeable_id, granted = ctx.awakeable(serde=ProtoSerde(Empty))
    request = SlotRequest(build_id=build.build_id, awakeable_id=awakeable_id)
    while True:
        reply = await journal.call(SLOT_ACQUIRE, build.workspace_id, request)
        if reply.granted:
            return
        completed = await journal.wait(ASK_AGAIN_S, granted=granted, stop=stop.future)
        if completed == "stop":
            raise WorkflowExit(ExitReason.STOPPED)
        if completed == "granted":
            return


def release_slot(journal: Journal, build: BuildInput) -> None:
    """Releases the slot, or the place in the queue."""
    journal.send(SLOT_RELEASE, build.workspace_id, SlotRequest(build_id=build.build_id))


class BuildBegin(msgspec.Struct, frozen=True):
    """`wanted`: it was not cancelled while it waited for a slot."""

    wanted: bool


async def begin(journal: Journal, build: BuildInput) -> None:
    """Leaves the queue: the deployment is `building` from now on. Raises WorkflowExit(STOPPED)."""
    begun = await journal.step("begin", begin_build, build.build_id)
    if not begun.wanted:
        raise WorkflowExit(ExitReason.STOPPED)


async def begin_build(deps: WorkerDeps, build_id: str) -> BuildBegin:
    """Moves the deployment, if there is one, from `pending` to `building`. Idempotent."""

    def write(connection: Connection) -> BuildBegin:
        now = deps.clock()
        build = builds.get(connection, build_id)
        if build is None or build.status.is_terminal or build.cancel_requested_at is not None:
            return BuildBegin(wanted=False)
        if build.deployment_id is None:
            return BuildBegin(wanted=True)
        if deployments.enter(connection, build.deployment_id, Status.BUILDING, now):
            deployments.end_step(connection, build.deployment_id, Step.QUEUED, now)
            deployments.start_step(connection, build.deployment_id, Step.BUILDING, now)
        deployment = deployments.get(connection, build.deployment_id)
        return BuildBegin(wanted=deployment is not None and deployment.status is Status.BUILDING)

    return await deps.db.write(write)


class ArchiveCheck(msgspec.Struct, frozen=True):
    """Whether the archive may be built."""

    outcome: Literal["good", "refused", "stopped"]


async def check_archive(journal: Journal, build: BuildInput) -> None:
    """Raises WorkflowExit(OVER) when the archive is refused: the row says why."""
    checked = await journal.step("check archive", check, build.build_id)
    if checked.outcome == "refused":
        raise WorkflowExit(ExitReason.OVER)
    if checked.outcome == "stopped":
        raise WorkflowExit(ExitReason.STOPPED)


async def check(deps: WorkerDeps, build_id: str) -> ArchiveCheck:
    """Checks the stored archive unless it has passed before; a refusal ends the build. Idempotent."""

    def read(connection: Connection) -> tuple[Build, Context | None]:
        build = builds.get(connection, build_id)
        assert build is not None
        return build, contexts.get(connection, build.build_context_path)

    build, context = await deps.db.read(read)
    if build.status.is_terminal or build.cancel_requested_at is not None:
        return ArchiveCheck("stopped")
    try:
        if context is not None:
            await take_in(deps, context)
        if context is not None and context.checked_at is not None:
            return ArchiveCheck("good")
        with deps.tracing.span("store.check", build_context_path=build.build_context_path):
            await deps.checker.check(build.build_context_path, build.dockerfile_path)
    except (ContextRejected, NotFound) as refused:
        await deps.db.write(_refuse, deps, build_id, refused)
        return ArchiveCheck("refused")
    await deps.db.write(lambda connection: contexts.mark_checked(connection, build.build_context_path, deps.clock()))
    return ArchiveCheck("good")


def _refuse(connection: Connection, deps: WorkerDeps, build_id: str, why: SealiftError) -> None:
    builds.finish(
        connection, build_id, BuildStatus.FAILED, deps.clock(), error_code=why.code, error_message=why.message
    )
