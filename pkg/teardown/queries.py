"""Statements about all that belongs to what is deleted."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, or_, select, update

from pkg.builds.tables import build_secrets, builds, contexts, uploads
from pkg.deletions import queries as deletions
from pkg.deletions.model import Deletion, DeletionKind, DeletionStatus
from pkg.deployments.status import RunState
from pkg.deployments.tables import deployment_ports, deployment_steps, deployments
from pkg.environments.tables import environment_variables, environments
from pkg.idempotency.tables import idempotency_keys
from pkg.jobs.tables import jobs
from pkg.operations.tables import operations
from pkg.projects.tables import projects
from pkg.regions.tables import instances, topologies
from pkg.routes.tables import routes


def environment_ids(connection: Connection, deletion: Deletion) -> list[str]:
    """The environments that lose routes: one, or all of a project that are not deleted yet."""
    if deletion.kind is not DeletionKind.PROJECT:
        return [deletion.environment_id]
    query = select(environments.c.id).where(
        environments.c.project_id == deletion.project_id, environments.c.deleted_at.is_(None)
    )
    return [str(one) for one in connection.execute(query.order_by(environments.c.id)).scalars()]


def deployment_ids(connection: Connection, deletion: Deletion, *, environment_id: str = "") -> list[str]:
    """The deployments that are deleted with it and are not yet (in one environment)."""
    query = select(deployments.c.id).where(_deployments(deletion), deployments.c.deleted_at.is_(None))
    if environment_id:
        query = query.where(deployments.c.environment_id == environment_id)
    return [str(one) for one in connection.execute(query.order_by(deployments.c.id)).scalars()]


def build_ids(connection: Connection, deletion: Deletion, *, since: int = 0) -> list[str]:
    """The builds that are deleted with it and are not yet, as far as they were recorded after `since`, epoch ms."""
    query = select(builds.c.id).where(_builds(deletion), builds.c.deleted_at.is_(None), builds.c.created_at >= since)
    return [str(one) for one in connection.execute(query.order_by(builds.c.id)).scalars()]


def alive_in(connection: Connection, deletion: Deletion) -> list[str]:
    """Regions that report an instance of it that has not ended, by name."""
    query = (
        select(instances.c.region)
        .where(
            instances.c.deployment_id.in_(_ids(deletion)),
            instances.c.state.in_(["starting", "healthy", "unhealthy"]),
        )
        .distinct()
    )
    return sorted(str(one) for one in connection.execute(query).scalars())


def forget_contexts(connection: Connection, deletion: Deletion, limit: int = 100) -> list[str]:
    """Deletes rows of build contexts and uploads that only builds of it used; the paths of their objects, to delete."""
    if deletion.kind is DeletionKind.PROJECT:
        mine: ColumnElement[bool] = contexts.c.project_id == deletion.project_id
    else:
        used = select(builds.c.build_context_path).where(_builds(deletion), builds.c.deleted_at.is_(None))
        elsewhere = select(builds.c.build_context_path).where(
            builds.c.project_id == deletion.project_id, builds.c.deleted_at.is_(None), ~_builds(deletion)
        )
        mine = contexts.c.path.in_(used) & contexts.c.path.not_in(elsewhere)
    paths = _texts(connection, select(contexts.c.path).where(mine).order_by(contexts.c.path).limit(limit))
    claims = _texts(connection, select(uploads.c.path).where(uploads.c.context_path.in_(paths)))
    connection.execute(delete(uploads).where(uploads.c.path.in_(claims)))
    connection.execute(delete(contexts).where(contexts.c.path.in_(paths)))
    return paths + claims


def give_up_images(connection: Connection, deletion: Deletion) -> None:
    """No row of it names an image any more: what nothing else names goes from engines and registry. Idempotent."""
    mine = update(deployments).where(_deployments(deletion), deployments.c.image_ref != "")
    connection.execute(mine.values(image_ref="", image_region=None))
    connection.execute(update(builds).where(_builds(deletion), builds.c.image_ref != "").values(image_ref=""))


def erase(connection: Connection, deletion: Deletion, now: int) -> bool:
    """Takes all content from the rows, frees the names, and ends the deletion. False: it had ended already.

    Rows of deployments, builds, operations, environments and projects stay without content: ids are never used again,
    and what comes late (a report, a delayed call, a step that is repeated) finds a row that has ended. Audit rows and
    the deletion itself stay as they are.
    """
    of_it = _ids(deletion)
    for table in (deployment_steps, deployment_ports, topologies, instances, jobs):
        connection.execute(delete(table).where(table.c.deployment_id.in_(of_it)))
    connection.execute(delete(routes).where(routes.c.deployment_id.in_(of_it)))
    done = operations.c.deployment_id.in_(of_it)
    connection.execute(update(operations).where(done).values(error_message=None, notices_json=[]))
    _forget_keys(connection, deletion)
    connection.execute(
        delete(build_secrets).where(build_secrets.c.build_id.in_(select(builds.c.id).where(_builds(deletion))))
    )
    _empty(
        connection, builds, _builds(deletion), now,
        build_context_path="", dockerfile_path="", target="", build_args_json={}, image_ref="", image_name="",
        attestations_json=[], error_message=None,
    )  # fmt: skip
    if deletion.kind is not DeletionKind.DEPLOYMENT:
        of_environments = _environments(deletion)
        connection.execute(
            delete(environment_variables).where(
                environment_variables.c.environment_id.in_(select(environments.c.id).where(of_environments))
            )
        )
        _empty(connection, environments, of_environments, now, slug=environments.c.id, settings_json={}, data_key=b"")
    _empty(
        connection, deployments, _deployments(deletion), now,
        run_state=RunState.STOPPED, keyspace_id=None, git_json={}, docker_image="", image_ref="", image_region=None,
        settings_json={}, variables_sealed=None, plain_variables_json=[], notices_json=[], error_message=None,
        last_output_json=[],
    )  # fmt: skip
    if deletion.kind is DeletionKind.PROJECT:
        _empty(connection, projects, projects.c.id == deletion.project_id, now, slug=projects.c.id, name="")
    return deletions.end(connection, deletion.id, DeletionStatus.DONE, now)


def _empty(connection: Connection, table: Any, of_it: ColumnElement[bool], now: int, **values: Any) -> None:
    statement = update(table).where(of_it, table.c.deleted_at.is_(None))
    connection.execute(statement.values(deleted_at=now, **values))


def _forget_keys(connection: Connection, deletion: Deletion) -> None:
    """What an idempotency key made is gone, so the same request makes it anew."""
    if deletion.kind is DeletionKind.PROJECT:
        mine: ColumnElement[bool] = idempotency_keys.c.project_id == deletion.project_id
    else:
        made = idempotency_keys.c.result_id
        mine = or_(
            made.in_(_ids(deletion)),
            made.in_(select(builds.c.id).where(_builds(deletion))),
            made.in_(select(operations.c.id).where(operations.c.deployment_id.in_(_ids(deletion)))),
        )
    connection.execute(delete(idempotency_keys).where(mine))


def _ids(deletion: Deletion) -> Select[Any]:
    return select(deployments.c.id).where(_deployments(deletion))


def _deployments(deletion: Deletion) -> ColumnElement[bool]:
    match deletion.kind:
        case DeletionKind.PROJECT:
            return deployments.c.project_id == deletion.project_id
        case DeletionKind.ENVIRONMENT:
            return deployments.c.environment_id == deletion.environment_id
        case DeletionKind.DEPLOYMENT:
            return deployments.c.id == deletion.deployment_id


def _environments(deletion: Deletion) -> ColumnElement[bool]:
    if deletion.kind is DeletionKind.PROJECT:
        return environments.c.project_id == deletion.project_id
    return environments.c.id == deletion.environment_id


def _builds(deletion: Deletion) -> ColumnElement[bool]:
    """Those of the project, or of its deployments as far as no other deployment runs what they have built."""
    if deletion.kind is DeletionKind.PROJECT:
        return builds.c.project_id == deletion.project_id
    elsewhere = select(deployments.c.build_id).where(
        deployments.c.project_id == deletion.project_id,
        deployments.c.build_id.is_not(None),
        deployments.c.deleted_at.is_(None),
        ~_deployments(deletion),
    )
    # one that an earlier deletion left, as a deployment ran it that is deleted now
    left = select(deployments.c.id).where(
        deployments.c.project_id == deletion.project_id, deployments.c.deleted_at.is_not(None)
    )
    run_here = select(deployments.c.build_id).where(_deployments(deletion), deployments.c.build_id.is_not(None))
    of_it = builds.c.deployment_id.in_(_ids(deletion)) | (builds.c.deployment_id.in_(left) & builds.c.id.in_(run_here))
    return of_it & builds.c.id.not_in(elsewhere)


def _texts(connection: Connection, query: Select[Any]) -> list[str]:
    return [str(one) for one in connection.execute(query).scalars()]
