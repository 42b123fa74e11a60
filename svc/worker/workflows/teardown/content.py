"""What is left once nothing runs: images, build contexts, telemetry. Each step is repeated until it has succeeded."""

from sqlalchemy import Connection

from pkg.builds import contexts, uploads
from pkg.deletions import queries as deletions
from pkg.deletions.model import Deletion, DeletionKind, DeletionStep
from pkg.teardown import queries
from svc.worker.deps import WorkerDeps

DAY_MS = 24 * 3600 * 1000


async def give_up_images(deps: WorkerDeps, deletion_id: str) -> None:
    """No row names the images any more. krane and the registry's cleanup delete what nothing else needs. Idempotent."""

    def write(connection: Connection) -> None:
        if deletion := _at(connection, deletion_id, DeletionStep.IMAGES):
            queries.give_up_images(connection, deletion)

    await deps.db.write(write)


async def delete_contexts(deps: WorkerDeps, deletion_id: str) -> None:
    """Deletes the archives that nothing else is built from; the rows before the objects. Idempotent.

    An object whose row went in an earlier run of the step is found by the periodic cleanup, or here for a project.
    """

    def forget(connection: Connection) -> list[str]:
        deletion = _at(connection, deletion_id, DeletionStep.CONTEXTS)
        return [] if deletion is None else queries.forget_contexts(connection, deletion)

    while paths := await deps.db.write(forget):
        for path in paths:
            await deps.store.delete(path)
    deletion = await deps.db.read(deletions.get, deletion_id)
    if deletion is not None and deletion.kind is DeletionKind.PROJECT:
        for folder in (contexts.FOLDER, uploads.FOLDER):
            for stored in await deps.store.list(f"{folder}/{deletion.project_id}"):
                await deps.store.delete(stored.path)


async def delete_telemetry(deps: WorkerDeps, deletion_id: str) -> None:
    """Deletes build logs, logs of apps, access figures and usage. Idempotent."""
    oldest = deps.clock() - (deps.config.telemetry.retention_days + 1) * DAY_MS

    def read(connection: Connection) -> tuple[Deletion | None, list[str], list[str]]:
        deletion = _at(connection, deletion_id, DeletionStep.TELEMETRY)
        if deletion is None:
            return None, [], []
        build_ids = queries.build_ids(connection, deletion, since=oldest)
        return deletion, build_ids, queries.deployment_ids(connection, deletion)

    deletion, build_ids, deployment_ids = await deps.db.write(read)
    if deletion is None:
        return
    for build_id in build_ids:
        await deps.telemetry.builds.delete(build_id)
    for deployment_id in deployment_ids:
        await deps.telemetry.logs.delete(deployment_id)
    if deletion.kind is DeletionKind.PROJECT:
        await deps.telemetry.access.delete(deletion.project_id)
        await deps.telemetry.usage.delete(deletion.project_id)
        return
    for deployment_id in deployment_ids:
        await deps.telemetry.access.delete(deletion.project_id, deployment_id)
        await deps.telemetry.usage.delete(deletion.project_id, deployment_id)


def _at(connection: Connection, deletion_id: str, step: DeletionStep) -> Deletion | None:
    """The deletion, which is at this step now; None once it has ended."""
    found = deletions.get(connection, deletion_id)
    if found is None or found.status.is_terminal:
        return None
    deletions.note_progress(connection, deletion_id, step)
    return found
