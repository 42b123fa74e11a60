"""The image: the result of workflow `Build`, which sets the deployment to `building` once it holds a slot."""

import msgspec
from restate import TerminalError
from restate.context import RestateDurableFuture
from sqlalchemy import Connection

from pkg import intents
from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus
from pkg.deployments import queries as deployments
from pkg.deployments.status import Step
from pkg.workflows.building import BUILD_RUN, BUILD_STOP
from sealift.workflow.v1.workflow_pb2 import BuildRequest, BuildResult, StopRequest
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.compensation import ExitReason, WorkflowExit
from svc.worker.workflows.deploy.record import DeployInput
from svc.worker.workflows.waiting import StopSignal


async def build_image(journal: Journal, deploy: DeployInput, stop: StopSignal) -> None:
    """Waits for the build; returns at once for an image that exists.

    Raises WorkflowExit: STOPPED when it was cancelled, FAILED with the build's own reason noted.
    """
    if not deploy.build_id:
        return
    building = journal.calling(BUILD_RUN, deploy.build_id, BuildRequest(build_id=deploy.build_id))
    if await journal.first(build=building, stop=stop.future) == "stop":
        await journal.step("cancel build", request_cancel, deploy.build_id)
        journal.send(BUILD_STOP, deploy.build_id, StopRequest(reason="cancelled"))
        await _ended(building)
        raise WorkflowExit(ExitReason.STOPPED)
    if await _ended(building) == BuildStatus.CANCELLED:
        raise WorkflowExit(ExitReason.STOPPED)
    noted = await journal.step("take image", take_image, deploy.deployment_id, deploy.build_id)
    if not noted.succeeded:
        raise WorkflowExit(ExitReason.FAILED)


async def _ended(building: RestateDurableFuture[bytes]) -> str:
    try:
        return BuildResult.FromString(await building).status
    except TerminalError:  # killed by an operator: its row has its status
        return ""


async def request_cancel(deps: WorkerDeps, build_id: str) -> bool:
    """Asks the builder to stop. Idempotent."""
    return await deps.db.write(lambda connection: builds.request_cancel(connection, build_id, deps.clock()))


class ImageTaken(msgspec.Struct, frozen=True):
    """Whether the build has an image."""

    succeeded: bool


async def take_image(deps: WorkerDeps, deployment_id: str, build_id: str) -> ImageTaken:
    """Records the image of the build, or notes why there is none. Idempotent."""

    def write(connection: Connection) -> ImageTaken:
        now = deps.clock()
        found = builds.get(connection, build_id)
        if found is not None and found.status is BuildStatus.SUCCEEDED:
            intents.take_image(connection, deployment_id, found, now)
            return ImageTaken(True)
        code = (found.error_code if found is not None else None) or "build.aborted"
        message = (found.error_message if found is not None else None) or "The build was aborted. Deploy again."
        deployments.note_error(connection, deployment_id, code=code, message=message, step=Step.BUILDING, now=now)
        return ImageTaken(False)

    return await deps.db.write(write)
