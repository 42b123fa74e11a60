"""What is under way where something is deleted: it is asked to end, and waited for."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from pkg import intents
from pkg.builds import queries as builds
from pkg.builds.model import Build
from pkg.deletions import queries as deletions
from pkg.deletions.gates import CODES
from pkg.deletions.model import Deletion, DeletionKind
from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.jobs import queries as jobs
from pkg.operations import queries as operations
from pkg.operations.model import Operation, OperationStatus
from pkg.workflows import outbox
from pkg.workflows.switch import SWITCH

MAX_NAMED = 3


@dataclass(frozen=True)
class Work:
    """What has not ended.

    Attributes:
        deployment_ids: of deploys whose workflows are to be told of their cancel.
        build_ids: of builds whose workflows are to be told of theirs.
        names: all that is under way, for people.
    """

    deployment_ids: tuple[str, ...]
    build_ids: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def waits_for(self) -> str:
        """For people; "" when nothing is under way."""
        more = f" and {len(self.names) - MAX_NAMED} more" if len(self.names) > MAX_NAMED else ""
        return ", ".join(self.names[:MAX_NAMED]) + more


def end_work(connection: Connection, deletion: Deletion, now: int) -> Work:
    """Cancels what can be cancelled, ends what no workflow has yet, and says what is still under way. Repeatable.

    A deploy that is past the point of no return and an operation go on to their end, which is bounded.
    """
    names, deploys, building = [], [], []
    for deployment in deployments.in_flight(connection):
        if not _has_deployment(deletion, deployment):
            continue
        if intents.cancel_unsent_deploy(connection, deployment, now):
            continue
        deployments.request_cancel(connection, deployment.id, "cancelled", now)
        deploys.append(deployment.id)
        names.append(f"the deploy {deployment.id} ({deployment.status})")
    for build in builds.in_flight(connection):
        if not _has_build(connection, deletion, build):
            continue
        if build.deployment_id is None and intents.cancel_unsent_build(connection, build, now):
            continue
        builds.request_cancel(connection, build.id, now)
        building.append(build.id)
        names.append(f"the build {build.id} ({build.status})")
    for operation in operations.in_flight(connection):
        if not _has_operation(connection, deletion, operation) or _end_unsent(connection, deletion, operation, now):
            continue
        names.append(f"the {operation.kind.replace('_', '-')} {operation.id} ({operation.status})")
    for job in jobs.active(connection):
        target = deployments.get(connection, job.deployment_id)
        if target is None or not _has_deployment(deletion, target):
            continue
        asked = jobs.request_stop(connection, job.id, now)
        if asked is not None and not asked.status.is_terminal and not jobs.end_overdue(connection, asked, now):
            names.append(f"the job {job.id} ({job.status})")
    narrower = _narrower(deletion, deletions.active(connection, project_id=deletion.project_id))
    names += [f"the deletion {other.id} of {other.what}" for other in narrower]
    return Work(tuple(deploys), tuple(building), tuple(names))


def _has_deployment(deletion: Deletion, deployment: Deployment) -> bool:
    match deletion.kind:
        case DeletionKind.PROJECT:
            return deployment.project_id == deletion.project_id
        case DeletionKind.ENVIRONMENT:
            return deployment.environment_id == deletion.environment_id
        case DeletionKind.DEPLOYMENT:
            return deployment.id == deletion.deployment_id


def _has_build(connection: Connection, deletion: Deletion, build: Build) -> bool:
    if deletion.kind is DeletionKind.PROJECT:
        return build.project_id == deletion.project_id
    owner = None if build.deployment_id is None else deployments.get(connection, build.deployment_id)
    return owner is not None and _has_deployment(deletion, owner)


def _has_operation(connection: Connection, deletion: Deletion, operation: Operation) -> bool:
    target = deployments.get(connection, operation.deployment_id)
    return target is not None and _has_deployment(deletion, target)


def _end_unsent(connection: Connection, deletion: Deletion, operation: Operation, now: int) -> bool:
    """Ends an operation that no workflow has yet. False: one has it, or will have it at any moment."""
    if not outbox.never_sent(connection, SWITCH, [operation.id]):
        return False
    return operations.end(
        connection,
        operation.id,
        OperationStatus.FAILED,
        now,
        error_code=CODES[deletion.kind],
        error_message=f"{deletion.what[0].upper()}{deletion.what[1:]} is being deleted ({deletion.id}).",
    )


def _narrower(deletion: Deletion, active: Sequence[Deletion]) -> list[Deletion]:
    """Deletions of parts of what is deleted: they began before, and each has marked what it deletes."""
    if deletion.kind is DeletionKind.PROJECT:
        return [other for other in active if other.kind is not DeletionKind.PROJECT]
    if deletion.kind is DeletionKind.ENVIRONMENT:
        return [
            other
            for other in active
            if other.kind is DeletionKind.DEPLOYMENT and other.environment_id == deletion.environment_id
        ]
    return []
