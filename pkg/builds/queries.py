"""Statements about builds. An attempt writes only while it is the newest one of its build."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from pkg.builds.model import IN_FLIGHT, Build, BuildStatus, RecordedImage, SealedSecret
from pkg.builds.tables import build_secrets, builds
from pkg.db import rows
from pkg.deployments.tables import deployments
from pkg.environments.model import EnvironmentKind
from pkg.environments.tables import environments
from pkg.errors import Aborted

MAX_MESSAGE_CHARS = 2048


def add(connection: Connection, values: dict[str, Any]) -> None:
    """Inserts a row; `values` holds the columns of `builds`."""
    connection.execute(insert(builds).values(**values))


def get(connection: Connection, build_id: str, *, workspace_id: str | None = None) -> Build | None:
    """The build, or None when it does not exist (in that workspace)."""
    query = select(builds).where(builds.c.id == build_id)
    if workspace_id is not None:
        query = query.where(builds.c.workspace_id == workspace_id)
    return rows.one(Build, connection.execute(query))


def of_image(connection: Connection, project_id: str, image_ref: str) -> Build | None:
    """The newest build of the project with this image."""
    query = select(builds).where(builds.c.project_id == project_id, builds.c.image_ref == image_ref)
    return rows.one(Build, connection.execute(query.order_by(builds.c.id.desc()).limit(1)))


def page(connection: Connection, project_id: str, *, before_id: str = "", limit: int = 50) -> list[Build]:
    """Newest first, without deleted ones."""
    query = select(builds).where(builds.c.project_id == project_id, builds.c.deleted_at.is_(None))
    if before_id:
        query = query.where(builds.c.id < before_id)
    return rows.every(Build, connection.execute(query.order_by(builds.c.id.desc()).limit(limit)))


def in_flight(connection: Connection) -> list[Build]:
    """Every build without a terminal status."""
    return rows.every(Build, connection.execute(select(builds).where(builds.c.status.in_(IN_FLIGHT))))


def pending_of(connection: Connection, deployment_ids: Collection[str]) -> list[Build]:
    """The builds of these deployments that wait for a slot."""
    query = select(builds).where(builds.c.deployment_id.in_(deployment_ids), builds.c.status == BuildStatus.PENDING)
    return rows.every(Build, connection.execute(query))


def for_production(connection: Connection, build_ids: Collection[str]) -> list[str]:
    """Those of these builds whose deployment is in the environment of kind production, in no order."""
    query = (
        select(builds.c.id)
        .join(deployments, deployments.c.id == builds.c.deployment_id)
        .join(environments, environments.c.id == deployments.c.environment_id)
        .where(builds.c.id.in_(build_ids), environments.c.kind == EnvironmentKind.PRODUCTION)
    )
    return list(connection.execute(query).scalars())


def count(connection: Connection, workspace_id: str, status: BuildStatus, *, created_before: int | None = None) -> int:
    """How many builds of the workspace have the status, of those created before that time (epoch ms)."""
    query = select(func.count()).where(builds.c.workspace_id == workspace_id, builds.c.status == status)
    if created_before is not None:
        query = query.where(builds.c.created_at < created_before)
    return int(connection.execute(query).scalar_one())


def claim_attempt(connection: Connection, build_id: str, now: int) -> int | None:
    """Begins the next attempt and returns its number; None when the build is terminal or a cancel was requested."""
    claimed = connection.execute(
        update(builds)
        .where(builds.c.id == build_id, builds.c.status.in_(IN_FLIGHT), builds.c.cancel_requested_at.is_(None))
        .values(attempt=builds.c.attempt + 1, status=BuildStatus.RUNNING)
        .returning(builds.c.attempt)
    ).scalar_one_or_none()
    if claimed is None:
        return None
    connection.execute(
        update(builds).where(builds.c.id == build_id, builds.c.started_at.is_(None)).values(started_at=now)
    )
    return int(claimed)


def require_attempt(connection: Connection, build_id: str, attempt: int) -> None:
    """Raises Aborted `build.attempt_superseded` unless `attempt` is the one that began last."""
    newest = connection.execute(select(builds.c.attempt).where(builds.c.id == build_id)).scalar_one_or_none()
    if newest != attempt:
        raise Aborted(
            "build.attempt_superseded",
            f"attempt {attempt} of {build_id} was replaced by attempt {newest}: its output is no longer recorded",
        )


def finish(
    connection: Connection,
    build_id: str,
    status: BuildStatus,
    now: int,
    *,
    attempt: int | None = None,
    image: RecordedImage | None = None,
    error_code: str | None = None,
    error_message: str | None = None,
) -> bool:
    """Ends the build and deletes its secrets. False: it had ended, or another attempt has started since.

    `attempt` None ends it whatever the attempt: a cancel before the first, or a deploy that gave up. `image`: what it
    built, if it succeeded.
    """
    made: dict[str, Any] = {}
    if image is not None:
        made = {
            "image_ref": image.image_ref,
            "image_name": image.name,
            "platform": image.platform,
            "attestations_json": list(image.attestations),
        }
    statement = (
        update(builds)
        .where(builds.c.id == build_id, builds.c.status.in_(IN_FLIGHT))
        .values(
            status=status,
            error_code=error_code,
            error_message=None if error_message is None else error_message[:MAX_MESSAGE_CHARS],
            ended_at=now,
            **made,
        )
    )
    if attempt is not None:
        statement = statement.where(builds.c.attempt == attempt)
    ended = connection.execute(statement).rowcount == 1
    if ended:
        connection.execute(delete(build_secrets).where(build_secrets.c.build_id == build_id))
    return ended


def request_cancel(connection: Connection, build_id: str, now: int) -> bool:
    """Asks the builder to stop. False: the build has ended. Idempotent."""
    connection.execute(
        update(builds)
        .where(builds.c.id == build_id, builds.c.status.in_(IN_FLIGHT), builds.c.cancel_requested_at.is_(None))
        .values(cancel_requested_at=now)
    )
    found = get(connection, build_id)
    return found is not None and not found.status.is_terminal


def add_secret(connection: Connection, secret: SealedSecret) -> None:
    """Keeps a sealed secret until `finish`."""
    connection.execute(
        insert(build_secrets).values(
            build_id=secret.build_id, secret_id=secret.secret_id, data_key=secret.data_key, sealed=secret.sealed
        )
    )


def secrets(connection: Connection, build_id: str) -> list[SealedSecret]:
    """The sealed secrets of a build that has not ended."""
    query = select(build_secrets).where(build_secrets.c.build_id == build_id)
    return rows.every(SealedSecret, connection.execute(query))
