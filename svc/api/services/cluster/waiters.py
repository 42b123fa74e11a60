"""Which workflows wait for what krane reports. Functions of a connection, read in the report's own transaction."""

from collections.abc import Iterable
from typing import Literal

from sqlalchemy import Connection, select

from pkg.deployments import queries as deployments
from pkg.deployments.settings import from_json
from pkg.deployments.status import Status
from pkg.deployments.tables import deployments as deployments_table
from pkg.operations import queries as operations
from pkg.regions import queries as regions
from pkg.regions.health import Health, health_of
from pkg.regions.shortage import hopeless
from pkg.regions.silence import silences

Waiter = tuple[Literal["Deploy", "Switch"], str]


def of_instances(connection: Connection, deployment_ids: Iterable[str], now: int) -> list[Waiter]:
    """Workflows that wait for these deployments and can go on: they are healthy, or never will be, or have stopped.

    Of those that find no room only if nobody gives way: a workflow is woken at once only the first time.
    """
    in_flight = operations.in_flight(connection)
    waiters: list[Waiter] = []
    for deployment_id in sorted(set(deployment_ids)):
        deployment = deployments.get(connection, deployment_id)
        if deployment is None:
            continue
        mine = [o for o in in_flight if o.deployment_id == deployment_id]
        stops = [o.id for o in mine if o.kind.is_stop]
        if stops and not regions.any_alive(connection, deployment_id):
            waiters += [("Switch", operation_id) for operation_id in stops]
        switches = [o.id for o in mine if not o.kind.is_stop]
        if deployment.status is not Status.DEPLOYING and not switches:
            continue
        names = [t.region for t in regions.topologies_of(connection, deployment_id) if not t.stopped]
        replicas = from_json(deployment.settings_json).replicas
        there = regions.instances_of(connection, deployment_id)
        verdict = health_of(names, replicas, there, silences(regions.every(connection), now))
        crowded = [i.region for i in there if i.waits_for]
        is_open = verdict.health in (Health.WAITING, Health.UNKNOWN)
        if is_open and not (crowded and hopeless(connection, crowded, now)):
            continue
        if deployment.status is Status.DEPLOYING:
            waiters.append(("Deploy", deployment_id))
        waiters += [("Switch", operation_id) for operation_id in switches]
    return waiters


def of_applied(connection: Connection) -> list[Waiter]:
    """Workflows that wait for a region to apply their routes."""
    moving = select(deployments_table.c.id).where(deployments_table.c.status == Status.NETWORK)
    waiters: list[Waiter] = [("Deploy", str(row.id)) for row in connection.execute(moving)]
    waiters += [("Switch", o.id) for o in operations.in_flight(connection) if not o.kind.is_stop]
    return waiters
