"""Deploys, builds and operations under way end before anything is taken away."""

from sqlalchemy import Connection

from pkg.deletions import queries as deletions
from pkg.deletions.model import DeletionStep
from pkg.teardown.work import Work, end_work
from pkg.workflows.building import BUILD_STOP
from pkg.workflows.deploy import DEPLOY_STOP
from sealift.workflow.v1.workflow_pb2 import StopRequest
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.teardown.record import TeardownInput
from svc.worker.workflows.waiting import UNBOUNDED_S, Observation, watch


class WorkObservation(Observation, frozen=True, kw_only=True):
    """Workflows that are to be told that they are cancelled."""

    deploys: list[str]
    builds: list[str]


async def end_all_work(journal: Journal, teardown: TeardownInput) -> None:
    """Cancels what is under way and waits for its end, without a bound: each of it has an end."""
    first = await journal.step("end work", end_work_once, teardown.deletion_id)
    for deployment_id in first.deploys:  # ends their waits early; they would find the request in their rows
        journal.send(DEPLOY_STOP, deployment_id, StopRequest(reason="cancelled"))
    for build_id in first.builds:
        journal.send(BUILD_STOP, build_id, StopRequest(reason="cancelled"))
    if not first.settled:
        await watch(journal, "work", end_work_once, UNBOUNDED_S, None, None, teardown.deletion_id)


async def end_work_once(deps: WorkerDeps, deletion_id: str) -> WorkObservation:
    """Asks all work to end, and reads what has not. Idempotent."""

    def write(connection: Connection) -> Work:
        deletion = deletions.get(connection, deletion_id)
        if deletion is None or deletion.status.is_terminal:
            return Work((), (), ())
        work = end_work(connection, deletion, deps.clock())
        deletions.note_progress(connection, deletion_id, DeletionStep.WORK, work.waits_for)
        return work

    work = await deps.db.write(write)
    return WorkObservation(
        settled=not work.names, now=deps.clock(), deploys=list(work.deployment_ids), builds=list(work.build_ids)
    )
