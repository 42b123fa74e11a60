"""Records deletions. From the commit on nothing new can be begun on what is deleted; the workflow does the rest."""

from sqlalchemy import Connection

from pkg.deletions import queries
from pkg.deletions.gates import check_not_deleting
from pkg.deletions.model import DeletionKind
from pkg.deployments.model import Deployment
from pkg.environments import queries as environments
from pkg.environments.model import Environment, EnvironmentKind
from pkg.errors import FailedPrecondition
from pkg.ids import new_id
from pkg.operations import queries as operations
from pkg.projects.model import Project
from pkg.routes import moves
from pkg.routes import queries as routes
from pkg.workflows import outbox
from pkg.workflows.teardown import TEARDOWN


def record_deployment_deletion(
    connection: Connection,
    *,
    project: Project,
    environment: Environment,
    target: Deployment,
    is_forced: bool,
    traceparent: str,
    now: int,
) -> tuple[str, bool]:
    """Records the deletion of a deployment; its id, and whether it is new. Idempotent.

    Raises FailedPrecondition for what is live, would be rolled back to, or is being switched to, unless `is_forced`.
    """
    if known := _known(connection, DeletionKind.DEPLOYMENT, target.deletion_id):
        return known, False
    check_not_deleting(connection, environment.deletion_id)
    if not is_forced:
        _check_unneeded(connection, environment, target)
    values = _values(DeletionKind.DEPLOYMENT, project, environment, target.id)
    return _record(connection, values, environments.take_seq(connection, environment.id), traceparent, now), True


def record_environment_deletion(
    connection: Connection, *, project: Project, environment: Environment, traceparent: str, now: int
) -> tuple[str, bool]:
    """Records the deletion of a preview environment; its id, and whether it is new. Idempotent.

    Raises FailedPrecondition `environment.production` for the other kind.
    """
    if known := _known(connection, DeletionKind.ENVIRONMENT, environment.deletion_id):
        return known, False
    check_not_deleting(connection, environment.deletion_id)
    if environment.kind is EnvironmentKind.PRODUCTION:
        raise FailedPrecondition(
            "environment.production",
            f"Environment {environment.slug!r} is the production of project {project.slug!r}, and a project has one as "
            "long as it exists: take the app down with `sealift stop --live`, or delete the whole project.",
        )
    values = _values(DeletionKind.ENVIRONMENT, project, environment, "")
    return _record(connection, values, 0, traceparent, now), True


def record_project_deletion(
    connection: Connection, *, project: Project, traceparent: str, now: int
) -> tuple[str, bool]:
    """Records the deletion of a project; its id, and whether it is new. Idempotent."""
    if known := _known(connection, DeletionKind.PROJECT, project.deletion_id):
        return known, False
    return _record(connection, _values(DeletionKind.PROJECT, project, None, ""), 0, traceparent, now), True


def _known(connection: Connection, kind: DeletionKind, deletion_id: str | None) -> str:
    """The deletion under way, if it is one of just this; "" for none, or for one of what this is a part of."""
    found = None if deletion_id is None else queries.get(connection, deletion_id)
    return found.id if found is not None and found.kind is kind else ""


def _check_unneeded(connection: Connection, environment: Environment, target: Deployment) -> None:
    forced = "or add --force to delete it all the same"
    if live := routes.live_hostnames(connection, target.id):
        raise FailedPrecondition(
            "deployment.routed",
            f"Deployment {target.id} is live at {live[0]}. Make another one live first (deploy, promote or rollback), "
            f"{forced}: its hostnames then say that the app is stopped.",
        )
    for operation in operations.in_flight(connection):
        if operation.deployment_id == target.id and operation.kind.moves_routes:
            raise FailedPrecondition(
                "deployment.in_use",
                f"A {operation.kind} to deployment {target.id} is under way ({operation.id}): wait for its end, "
                f"{forced} once that has ended.",
            )
    live_id = routes.live_deployment_id(connection, environment.id)
    if live_id is not None and moves.rollback_target(connection, environment.id, live_id) == target.id:
        raise FailedPrecondition(
            "deployment.rollback_target",
            f"Deployment {target.id} is what `sealift rollback` of environment {environment.slug!r} would go back to: "
            f"keep it, {forced}.",
        )


def _values(
    kind: DeletionKind, project: Project, environment: Environment | None, deployment_id: str
) -> dict[str, object]:
    return {
        "id": new_id("del"),
        "workspace_id": project.workspace_id,
        "kind": kind,
        "project_id": project.id,
        "project_slug": project.slug,
        "environment_id": "" if environment is None else environment.id,
        "environment_slug": "" if environment is None else environment.slug,
        "deployment_id": deployment_id,
    }


def _record(connection: Connection, values: dict[str, object], seq: int, traceparent: str, now: int) -> str:
    deletion_id = str(values["id"])
    queries.add(connection, {**values, "seq": seq, "traceparent": traceparent, "created_at": now})
    recorded = queries.get(connection, deletion_id)
    assert recorded is not None
    queries.mark(connection, recorded)
    outbox.add(connection, TEARDOWN, deletion_id, now)
    return deletion_id
