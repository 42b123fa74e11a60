"""What scales and restarts change in the desired state. Every function is idempotent."""

from sqlalchemy import Connection, Select, select, update

from pkg.deployments.model import Deployment
from pkg.deployments.settings import Settings, from_json
from pkg.deployments.tables import deployments
from pkg.desired.capabilities import TOPOLOGY
from pkg.environments import queries as environment_queries
from pkg.environments.tables import environments
from pkg.feed.queries import record
from pkg.operations import queries as operations
from pkg.operations.model import Operation, OperationKind
from pkg.regions.tables import topologies


def newer(connection: Connection, operation: Operation) -> Operation | None:
    """The scale of the same environment that came after this one and has begun; None: there is none."""
    latest = _latest_scale(connection, operation)
    return latest if latest is not None and latest.seq > operation.seq else None


def settings_without(connection: Connection, operation: Operation, deployment: Deployment) -> Settings:
    """The settings that a deployment of the environment would have without the operation, a scale."""
    latest = _latest_scale(connection, operation, other_than=operation.id)
    settings = from_json(deployment.settings_json)
    if not operation.process:
        return settings.scaled(latest.replicas if latest else None)
    replicas = latest.replicas if latest else None
    return settings.scaled(None, {} if replicas is None else {operation.process: replicas})


def apply(connection: Connection, operation: Operation, now: int) -> None:
    """Has every region do what the operation, a scale or restart that has begun, asks for; not what is overtaken."""
    _settle(connection, operation, now, without=False)


def undo(connection: Connection, operation: Operation, now: int) -> None:
    """Has the regions do what they would without this operation. Instances that it made again stay as they are."""
    _settle(connection, operation, now, without=True)


def _settle(connection: Connection, operation: Operation, now: int, *, without: bool) -> None:
    other_than = operation.id if without else ""
    if operation.kind is OperationKind.SCALE:
        latest = _latest_scale(connection, operation, other_than=other_than)
        replicas = latest.replicas if latest else None
        if operation.process:
            _set_process_replicas(connection, operation.environment_id, operation.process, replicas, now)
        else:
            _set_replicas(connection, operation.environment_id, replicas, now)
    elif operation.kind is OperationKind.RESTART:
        latest = operations.latest_begun(
            connection,
            OperationKind.RESTART,
            operation.environment_id,
            deployment_id=operation.deployment_id,
            other_than=other_than,
        )
        _set_generation(connection, operation.deployment_id, latest.seq if latest else 0, now)


def _latest_scale(connection: Connection, operation: Operation, *, other_than: str = "") -> Operation | None:
    return operations.latest_begun(
        connection,
        OperationKind.SCALE,
        operation.environment_id,
        process=operation.process,
        other_than=other_than,
    )


def _set_replicas(connection: Connection, environment_id: str, replicas: int | None, now: int) -> None:
    changed = connection.execute(
        update(environments)
        .where(environments.c.id == environment_id, environments.c.replicas.is_distinct_from(replicas))
        .values(replicas=replicas, updated_at=now)
    )
    if changed.rowcount:
        _announce(connection, now, select(deployments.c.id).where(deployments.c.environment_id == environment_id))


def _set_process_replicas(
    connection: Connection, environment_id: str, process: str, replicas: int | None, now: int
) -> None:
    known = environment_queries.process_replicas(connection, [environment_id]).get(environment_id, {})
    wanted = {name: number for name, number in known.items() if name != process}
    if replicas is not None:
        wanted[process] = replicas
    if wanted == known:
        return
    connection.execute(
        update(environments)
        .where(environments.c.id == environment_id)
        .values(process_replicas_json=wanted, updated_at=now)
    )
    _announce(connection, now, select(deployments.c.id).where(deployments.c.environment_id == environment_id))


def _set_generation(connection: Connection, deployment_id: str, generation: int, now: int) -> None:
    changed = connection.execute(
        update(deployments)
        .where(deployments.c.id == deployment_id, deployments.c.restart_generation != generation)
        .values(restart_generation=generation)
    )
    if changed.rowcount:
        _announce(connection, now, select(deployments.c.id).where(deployments.c.id == deployment_id))


def _announce(connection: Connection, now: int, deployment_ids: Select[tuple[str]]) -> None:
    """Has each region that runs one of the deployments read what it is to run again."""
    query = (
        select(topologies.c.deployment_id, topologies.c.region)
        .where(topologies.c.stopped.is_(False), topologies.c.deployment_id.in_(deployment_ids))
        .order_by(topologies.c.deployment_id, topologies.c.region)
    )
    for row in connection.execute(query).all():
        record(connection, TOPOLOGY, row.deployment_id, now, region=row.region)
