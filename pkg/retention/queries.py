"""Removes images from the rows that name them, before the images are deleted, so that no rollback races with it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, or_, select, update

from pkg.builds.model import IN_FLIGHT as BUILDS_IN_FLIGHT
from pkg.builds.tables import builds
from pkg.deployments.status import IN_FLIGHT, RunState, Status
from pkg.deployments.tables import deployments
from pkg.images import ImageRef, StoredImage, build_image
from pkg.operations import queries as operations
from pkg.retention.rules import BuildUse, DeploymentUse, unneeded, unneeded_in_registry
from pkg.routes.moves import rollback_target
from pkg.routes.queries import live_deployment_id
from pkg.routes.tables import routes

_IDS_AT_ONCE = 500
_BUILD_USE = (builds.c.id, builds.c.project_id, builds.c.deployment_id, builds.c.image_ref, builds.c.ended_at)


def take_unused(
    connection: Connection, images: Iterable[StoredImage], *, per_environment: int, now: int, registry_url: str = ""
) -> list[StoredImage]:
    """Decides which of the installation's images on an engine may go, and clears `image_ref` of what names one.

    From its commit on the gates refuse a switch to those deployments (`deployment.image_gone`), so the images may be
    deleted at any time afterwards. A switch that was recorded before keeps its image. Idempotent.
    """
    deletable = unneeded(
        images,
        _deployments(connection),
        _builds(connection),
        now=now,
        per_environment=per_environment,
        registry_url=registry_url,
    )
    _clear(connection, [ref for image in deletable for ref in (str(image.image_ref), *image.digests)], now)
    return deletable


def give_up_in_registry(connection: Connection, registry_url: str, *, per_environment: int, now: int) -> int:
    """As `take_unused` for the images of builds in the registry; how many. Nobody has to list them first.

    The cleared rows are the decision: a worker deletes later what no row of its project names (`Repository`).
    """
    refs = unneeded_in_registry(
        _deployments(connection),
        _builds(connection),
        now=now,
        registry_url=registry_url,
        per_environment=per_environment,
    )
    _clear(connection, refs, now)
    return len(refs)


@dataclass(frozen=True)
class Repository:
    """What the rows say about a project's repository in the registry.

    Attributes:
        builds: the project's, by tag, of those tags that were asked about.
        referenced: digests in it that a row names.
        is_building: a build of the project is under way, and may push at any time.
    """

    builds: Mapping[str, BuildUse]
    referenced: frozenset[str]
    is_building: bool


def repository(connection: Connection, project_id: str, registry_url: str, tags: Collection[str]) -> Repository:
    """What the rows say about these tags of the project's repository, and about its digests."""
    ids = [tag.replace("-", "_", 1) for tag in tags]
    found: dict[str, BuildUse] = {}
    for some in _chunks(ids):
        query = select(*_BUILD_USE).where(builds.c.project_id == project_id, builds.c.id.in_(some))
        for row in connection.execute(query):
            found[build_image(project_id, row.id).tag] = BuildUse(**row._mapping)  # noqa: SLF001
    name = build_image(project_id, "", registry_url).repository
    in_flight = select(builds.c.id).where(builds.c.project_id == project_id, builds.c.status.in_(BUILDS_IN_FLIGHT))
    named = select(builds.c.image_ref).where(builds.c.image_ref.startswith(f"{name}@", autoescape=True))
    placed = select(deployments.c.image_ref, deployments.c.docker_image).where(
        or_(
            deployments.c.image_ref.startswith(f"{name}@", autoescape=True),
            and_(
                deployments.c.docker_image.startswith(name, autoescape=True),
                or_(deployments.c.image_ref != "", deployments.c.status.in_(IN_FLIGHT)),
            ),
        )
    )
    refs = [row.image_ref for row in connection.execute(named)]
    refs += [ref for row in connection.execute(placed) for ref in (row.image_ref, row.docker_image)]
    return Repository(
        builds=found,
        referenced=frozenset(ImageRef.parse(ref).digest for ref in refs) - {""},
        is_building=connection.execute(in_flight.limit(1)).first() is not None,
    )


def projects_after(connection: Connection, project_id: str, limit: int) -> list[str]:
    """The next projects that have builds, by id."""
    query = select(builds.c.project_id).where(builds.c.project_id > project_id).distinct()
    return list(connection.execute(query.order_by(builds.c.project_id).limit(limit)).scalars())


def _clear(connection: Connection, refs: Sequence[str], now: int) -> None:
    for some in _chunks(refs):
        connection.execute(
            update(deployments).where(deployments.c.image_ref.in_(some)).values(image_ref="", updated_at=now)
        )
        connection.execute(update(builds).where(builds.c.image_ref.in_(some)).values(image_ref=""))


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[i : i + _IDS_AT_ONCE] for i in range(0, len(values), _IDS_AT_ONCE))


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
    leading = select(routes.c.deployment_id, routes.c.environment_id).where(routes.c.deployment_id.is_not(None))
    routed = connection.execute(leading.distinct()).all()
    required = {str(row.deployment_id) for row in routed}
    required |= {operation.deployment_id for operation in operations.in_flight(connection)}
    for environment_id in {str(row.environment_id) for row in routed}:
        live = live_deployment_id(connection, environment_id)
        target = None if live is None else rollback_target(connection, environment_id, live)
        required |= {target} if target is not None else set()
    return required


def _builds(connection: Connection) -> Sequence[BuildUse]:
    query = select(*_BUILD_USE).where(or_(builds.c.image_ref != "", builds.c.status.in_(BUILDS_IN_FLIGHT)))
    return [BuildUse(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001
