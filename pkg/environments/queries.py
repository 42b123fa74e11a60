"""Statements about environments and their variables."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from pkg.db import rows, upsert
from pkg.environments.model import Environment, EnvironmentKind, Variable
from pkg.environments.tables import environment_variables, environments


def add(
    connection: Connection,
    *,
    environment_id: str,
    workspace_id: str,
    project_id: str,
    slug: str,
    kind: EnvironmentKind,
    data_key: bytes,
    now: int,
) -> None:
    """Inserts an environment with default settings."""
    connection.execute(
        insert(environments).values(
            id=environment_id,
            workspace_id=workspace_id,
            project_id=project_id,
            slug=slug,
            kind=kind,
            settings_json={},
            is_rolled_back=False,
            next_seq=1,
            data_key=data_key,
            created_at=now,
            updated_at=now,
        )
    )


def get(connection: Connection, environment_id: str, *, workspace_id: str | None = None) -> Environment | None:
    """The environment, or None when it does not exist (in that workspace)."""
    query = select(environments).where(environments.c.id == environment_id)
    if workspace_id is not None:
        query = query.where(environments.c.workspace_id == workspace_id)
    return rows.one(Environment, connection.execute(query))


def by_slug(connection: Connection, project_id: str, slug: str) -> Environment | None:
    """The project's environment of that slug, or None."""
    query = select(environments).where(environments.c.project_id == project_id, environments.c.slug == slug)
    return rows.one(Environment, connection.execute(query))


def of_project(connection: Connection, project_id: str) -> list[Environment]:
    """Production first, then by slug; without deleted ones."""
    query = select(environments).where(environments.c.project_id == project_id, environments.c.deleted_at.is_(None))
    found = rows.every(Environment, connection.execute(query))
    return sorted(found, key=lambda e: (e.kind is not EnvironmentKind.PRODUCTION, e.slug))


def slugs(connection: Connection, environment_ids: Collection[str]) -> dict[str, str]:
    """The slugs of environments, by id."""
    query = select(environments.c.id, environments.c.slug).where(environments.c.id.in_(environment_ids))
    return {str(row.id): str(row.slug) for row in connection.execute(query)}


def replicas(connection: Connection, environment_ids: Collection[str]) -> dict[str, int]:
    """The number of instances of each environment that was scaled, by id."""
    query = select(environments.c.id, environments.c.replicas).where(
        environments.c.id.in_(environment_ids), environments.c.replicas.is_not(None)
    )
    return {str(row.id): int(row.replicas) for row in connection.execute(query)}


def process_replicas(connection: Connection, environment_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """The number of instances of each process that was scaled, by environment."""
    query = select(environments.c.id, environments.c.process_replicas_json).where(
        environments.c.id.in_(environment_ids)
    )
    return {str(row.id): dict(row.process_replicas_json) for row in connection.execute(query)}


def take_seq(connection: Connection, environment_id: str) -> int:
    """The next number in the order of intents. Call it in the transaction that records the intent."""
    taken = connection.execute(
        update(environments)
        .where(environments.c.id == environment_id)
        .values(next_seq=environments.c.next_seq + 1)
        .returning(environments.c.next_seq)
    ).scalar_one()
    return int(taken) - 1


def set_rolled_back(connection: Connection, environment_id: str, rolled_back: bool, now: int) -> None:
    """Says whether new deployments leave the environment's routes alone. Idempotent."""
    connection.execute(
        update(environments)
        .where(environments.c.id == environment_id)
        .values(is_rolled_back=rolled_back, updated_at=now)
    )


def set_settings(connection: Connection, environment_id: str, settings_json: dict[str, Any], now: int) -> None:
    """Replaces the environment's override of the settings. Idempotent."""
    connection.execute(
        update(environments)
        .where(environments.c.id == environment_id)
        .values(settings_json=settings_json, updated_at=now)
    )


def set_variable(
    connection: Connection, environment_id: str, name: str, sealed: bytes, now: int, *, is_plain: bool = False
) -> None:
    """Creates or replaces a variable. `is_plain`: its value may be read again. Idempotent."""
    statement = upsert.insert(connection, environment_variables).values(
        environment_id=environment_id, name=name, sealed=sealed, updated_at=now, is_plain=is_plain
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["environment_id", "name"], set_={"sealed": sealed, "updated_at": now, "is_plain": is_plain}
        )
    )


def unset_variable(connection: Connection, environment_id: str, name: str) -> None:
    """Removes a variable. Idempotent."""
    connection.execute(
        delete(environment_variables).where(
            environment_variables.c.environment_id == environment_id, environment_variables.c.name == name
        )
    )


def variables(connection: Connection, environment_id: str) -> list[Variable]:
    """The environment's variables, by name."""
    query = select(
        environment_variables.c.name,
        environment_variables.c.sealed,
        environment_variables.c.is_plain,
        environment_variables.c.updated_at,
    ).where(environment_variables.c.environment_id == environment_id)
    return rows.every(Variable, connection.execute(query.order_by(environment_variables.c.name)))
