"""Removes images from the rows that name them, before the images are deleted, so that no rollback races with it."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, or_, select, update

from pkg.builds.model import IN_FLIGHT as BUILDS_IN_FLIGHT
from pkg.builds.tables import builds
from pkg.deployments.status import IN_FLIGHT, RunState, Status
from pkg.deployments.tables import deployments
from pkg.images import StoredImage
from pkg.operations import queries as operations
from pkg.retention.rules import BuildUse, DeploymentUse, unneeded
from pkg.routes.moves import rollback_target
from pkg.routes.queries import live_deployment_id
from pkg.routes.tables import routes

_IDS_AT_ONCE = 500


def take_unused(
    connection: Connection, images: Iterable[StoredImage], *, per_environment: int, now: int
) -> list[StoredImage]:
    """Decides which of the installation's images may go, and clears `image_ref` of everything that names one.

    From its commit on the gates refuse a switch to those deployments (`deployment.image_gone`), so the images may be
    deleted at any time afterwards. A switch that was recorded before keeps its image. Idempotent.
    """
    deletable = unneeded(
        images, _deployments(connection), _builds(connection), now=now, per_environment=per_environment
    )
    refs = [str(image.image_ref) for image in deletable]
    for some in (refs[i : i + _IDS_AT_ONCE] for i in range(0, len(refs), _IDS_AT_ONCE)):
        connection.execute(
            update(deployments).where(deployments.c.image_ref.in_(some)).values(image_ref="", updated_at=now)
        )
        connection.execute(update(builds).where(builds.c.image_ref.in_(some)).values(image_ref=""))
    return deletable


def _deployments(connection: Connection) -> Sequence[DeploymentUse]:
    required = _required(connection)
    query = select(
        deployments.c.id,
        deployments.c.environment_id,
        deployments.c.seq,
        deployments.c.status,
        deployments.c.run_state,
        deployments.c.build_id,
        deployments.c.image_ref,
        deployments.c.docker_image,
    ).where(or_(deployments.c.image_ref != "", deployments.c.status.in_(IN_FLIGHT)))
    return [
        DeploymentUse(
            id=row.id,
            environment_id=row.environment_id,
            seq=row.seq,
            status=Status(row.status),
            run_state=RunState(row.run_state),
            build_id=row.build_id,
            image_ref=row.image_ref,
            docker_image=row.docker_image,
            is_wanted=row.id in required,
        )
        for row in connection.execute(query)
    ]


def _required(connection: Connection) -> set[str]:
    """Deployments that are routed, are being switched to, or are where the next rollback goes."""
    routed = connection.execute(select(routes.c.deployment_id, routes.c.environment_id).distinct()).all()
    required = {str(row.deployment_id) for row in routed}
    required |= {operation.deployment_id for operation in operations.in_flight(connection)}
    for environment_id in {str(row.environment_id) for row in routed}:
        live = live_deployment_id(connection, environment_id)
        target = None if live is None else rollback_target(connection, environment_id, live)
        required |= {target} if target is not None else set()
    return required


def _builds(connection: Connection) -> Sequence[BuildUse]:
    query = select(
        builds.c.id, builds.c.project_id, builds.c.deployment_id, builds.c.image_ref, builds.c.ended_at
    ).where(or_(builds.c.image_ref != "", builds.c.status.in_(BUILDS_IN_FLIGHT)))
    return [BuildUse(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001
