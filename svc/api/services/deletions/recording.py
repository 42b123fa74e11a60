"""Recording a deletion, for the services of what is deleted, and a deletion as it is shown."""

import logging
from collections.abc import Callable

from sqlalchemy import Connection

from pkg.deletions import queries
from pkg.deletions.model import Deletion, DeletionKind, DeletionStatus
from pkg.errors import NotFound
from pkg.observability.logging import fields
from pkg.workflows.teardown import TEARDOWN, TEARDOWN_APPLIED, TEARDOWN_INSTANCES_CHANGED
from sealift.ctrl.v1 import common_pb2
from sealift.ctrl.v1 import deletion_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.requests import queued
from svc.api.requests.checks import check_id
from svc.api.requests.mutation import Change, mutate
from svc.api.rpc import Call

log = logging.getLogger(__name__)

KINDS = {
    DeletionKind.DEPLOYMENT: pb.DELETION_KIND_DEPLOYMENT,
    DeletionKind.ENVIRONMENT: pb.DELETION_KIND_ENVIRONMENT,
    DeletionKind.PROJECT: pb.DELETION_KIND_PROJECT,
}
STATUSES = {
    DeletionStatus.PENDING: pb.DELETION_STATUS_PENDING,
    DeletionStatus.RUNNING: pb.DELETION_STATUS_RUNNING,
    DeletionStatus.DONE: pb.DELETION_STATUS_DONE,
    DeletionStatus.FAILED: pb.DELETION_STATUS_FAILED,
}


async def delete(
    deps: ApiDeps, call: Call, record: Callable[[Connection], tuple[str, bool]], *, skip_regions: bool
) -> tuple[pb.Deletion, bool]:
    """Records the deletion, or lets the one under way go on without regions; whether it was recorded before.

    Args:
        deps: of the servicer.
        call: that asks for it.
        record: the deletion's id, and whether it is new.
        skip_regions: it goes on without regions that do not confirm.
    """

    def write(connection: Connection) -> Change[tuple[Deletion, pb.Deletion, bool]]:
        deletion_id, is_new = record(connection)
        is_changed = skip_regions and queries.skip_regions(connection, deletion_id)
        found, message = deletion_of(connection, call.workspace_id, deletion_id)
        return Change((found, message, is_new), _targets(found) if is_new or is_changed else {})

    found, message, is_new = await mutate(deps, call, write)
    deps.dispatcher.notify()
    if skip_regions:
        for handler in (TEARDOWN_APPLIED, TEARDOWN_INSTANCES_CHANGED):
            deps.notifier.notify(handler, found.id)
    if is_new:
        log.info("deletion recorded", extra=fields(deletion_id=found.id, kind=found.kind, project_id=found.project_id))
    return message, not is_new


def deletion_of(connection: Connection, workspace_id: str, deletion_id: str) -> tuple[Deletion, pb.Deletion]:
    """The deletion, and as it is shown. NotFound `deletion.not_found`."""
    check_id("deletion_id", "del", deletion_id)
    found = queries.get(connection, deletion_id, workspace_id=workspace_id)
    if found is None:
        raise NotFound("deletion.not_found", f"There is no deletion {deletion_id}.", field="deletion_id")
    waiting = [found.id] if found.status is DeletionStatus.PENDING else []
    return found, _render(found, queued.reasons(connection, TEARDOWN, waiting).get(found.id, ""))


def _render(row: Deletion, queued_reason: str) -> pb.Deletion:
    error = None
    if row.error_code is not None:
        error = common_pb2.Problem(code=row.error_code, message=row.error_message or "", step=row.step)
    return pb.Deletion(
        deletion_id=row.id,
        kind=KINDS[row.kind],
        status=STATUSES[row.status],
        project_id=row.project_id,
        project_slug=row.project_slug,
        environment_id=row.environment_id,
        environment_slug=row.environment_slug,
        deployment_id=row.deployment_id,
        step=row.step,
        waits_for=row.waits_for,
        notices=row.notices_json,
        skips_regions=row.skips_regions,
        error=error,
        created_at=row.created_at,
        ended_at=row.ended_at or 0,
        queued_reason=queued_reason,
    )


def _targets(row: Deletion) -> dict[str, str]:
    ids = {
        "project_id": row.project_id,
        "environment_id": row.environment_id,
        "deployment_id": row.deployment_id,
        "deletion_id": row.id,
    }
    return {name: value for name, value in ids.items() if value}
