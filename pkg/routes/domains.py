"""The transactions that give a domain its route, and take it.

They are not intents: a new route joins what the environment's others are, so that every later move takes it along. All
writes are one after the other, hence no move of the environment's routes can be half done here.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from pkg.db import rows
from pkg.desired.capabilities import ROUTE
from pkg.domains import queries as domains
from pkg.domains.model import Domain, DomainStatus
from pkg.feed.queries import record
from pkg.hostnames import HostnameKind, Sticky
from pkg.routes import queries
from pkg.routes.queries import RouteRow
from pkg.routes.rules import ENVIRONMENT_WIDE
from pkg.routes.tables import route_history, routes

HISTORY_TAKEN = 100  # moves of the environment's route that a new one starts with; older deployments run no more


@dataclass(frozen=True)
class Activation:
    """What `activate` did.

    Attributes:
        conflict: why the domain stays as it is, for people; "" when it is active now.
        deployment_id: that answers there; "" when none does, as the environment is stopped or has none yet.
    """

    conflict: str = ""
    deployment_id: str = ""


def activate(connection: Connection, domain: Domain, own_hostname: str, now: int) -> Activation:
    """Makes a proven domain active and routes it to what is live in its environment, or was stopped. Idempotent.

    What other workspaces hold under this very name is lost to it: the caller has seen their proof gone and this one's
    there. A domain that covers another workspace's, or is covered by it, stays as it is. `own_hostname`: of the
    environment.
    """
    others = domains.held_elsewhere(connection, domain.workspace_id, domain.name)
    covering = next((one.hostname for one in others if one.hostname != domain.hostname), None)
    if covering is not None:
        return Activation(
            conflict=f"Another workspace holds {covering}, and requests would be shared with it. It has to be removed "
            "there first."
        )
    taken = queries.get(connection, domain.hostname)
    if taken is not None and taken.kind != HostnameKind.CUSTOM:
        return Activation(conflict=f"{domain.hostname} is a hostname of this installation.")
    for one in others:
        _remove_route(connection, one, now)
        domains.set_status(connection, one.id, DomainStatus.LOST, only_from=[DomainStatus.ACTIVE], now=now)
    changed = domains.set_status(
        connection, domain.id, DomainStatus.ACTIVE, only_from=[DomainStatus.PENDING, DomainStatus.LOST], now=now
    )
    return Activation(deployment_id=_add_route(connection, domain, own_hostname, now) if changed else "")


def remove(connection: Connection, domain: Domain, now: int) -> None:
    """Ends the domain and its route. Idempotent."""
    if domain.status is DomainStatus.ACTIVE:
        _remove_route(connection, domain, now)
    domains.remove(connection, domain.id)


def _add_route(connection: Connection, domain: Domain, own_hostname: str, now: int) -> str:
    """Routes the domain to where the environment's own hostname leads; that deployment, "" for an answer or none.

    It gets that route's fence and history, so that an undo of what moved that one moves both.
    """
    model = _environment_route(connection, domain.environment_id)
    _forget(connection, domain.hostname)
    earlier = (
        select(route_history)
        .where(route_history.c.hostname == (own_hostname if model is None else model.hostname))
        .order_by(route_history.c.id.desc())
        .limit(HISTORY_TAKEN)
    )
    for row in reversed(connection.execute(earlier).all()):
        connection.execute(
            insert(route_history).values(
                hostname=domain.hostname, deployment_id=row.deployment_id, fence=row.fence, moved_at=row.moved_at
            )
        )
    if model is None:  # the next intent makes all of them
        return ""
    connection.execute(
        insert(routes).values(
            hostname=domain.hostname,
            workspace_id=domain.workspace_id,
            project_id=domain.project_id,
            environment_id=domain.environment_id,
            deployment_id=model.deployment_id or None,
            answer=model.answer,
            kind=HostnameKind.CUSTOM,
            sticky=Sticky.ENVIRONMENT,
            fence=model.fence,
            version=record(connection, ROUTE, domain.hostname, now),
            created_at=now,
            updated_at=now,
        )
    )
    return model.deployment_id


def _environment_route(connection: Connection, environment_id: str) -> RouteRow | None:
    """The generated one that was moved last; None before the first deployment."""
    query = (
        select(routes)
        .where(
            routes.c.environment_id == environment_id,
            routes.c.sticky.in_(ENVIRONMENT_WIDE),
            routes.c.kind != HostnameKind.CUSTOM,
        )
        .order_by(routes.c.fence.desc(), routes.c.hostname)
    )
    return rows.one(RouteRow, connection.execute(query))


def _remove_route(connection: Connection, domain: Domain, now: int) -> None:
    mine = (routes.c.hostname == domain.hostname) & (routes.c.environment_id == domain.environment_id)
    if connection.execute(delete(routes).where(mine)).rowcount:
        record(connection, ROUTE, domain.hostname, now)
    _forget(connection, domain.hostname)


def _forget(connection: Connection, hostname: str) -> None:
    """Who held the hostname before is nothing that a later holder may go back to."""
    connection.execute(delete(route_history).where(route_history.c.hostname == hostname))
