"""Statements that read routes."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from pkg.db import rows
from pkg.desired.route import STOPPED
from pkg.hostnames import HostnameKind, Sticky
from pkg.regions.tables import instances
from pkg.routes.rules import ENVIRONMENT_WIDE
from pkg.routes.tables import routes


@dataclass(frozen=True)
class RouteRow:
    """A row of `routes`.

    Attributes:
        deployment_id: that gets the requests; "" when the route is an answer.
        answer: that all requests get, one of `pkg.desired.route.ANSWERS`; "" when it leads to a deployment.
    """

    hostname: str
    workspace_id: str
    project_id: str
    environment_id: str
    deployment_id: str
    kind: str
    sticky: Sticky
    fence: int
    version: int
    created_at: int
    updated_at: int
    answer: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sticky", Sticky(self.sticky))
        object.__setattr__(self, "deployment_id", self.deployment_id or "")


@dataclass(frozen=True)
class LiveRoute:
    """What a project's own hostname points at.

    Attributes:
        project_id: whose.
        hostname: the project's own.
        deployment_id: that answers there.
        states: of the deployment's instances, as the regions last reported them.
    """

    project_id: str
    hostname: str
    deployment_id: str
    states: tuple[str, ...]


_SHOWN_FIRST = {Sticky.LIVE: 1, Sticky.ENVIRONMENT: 2, Sticky.BRANCH: 3, Sticky.NONE: 5}
_WILDCARD_SHOWN = 4  # nobody can open it as it stands


def _as_shown(route: RouteRow) -> tuple[int, str]:
    """The order in which a person wants to see the hostnames of a deployment: domains first."""
    if route.kind == HostnameKind.CUSTOM:
        return (_WILDCARD_SHOWN if route.hostname.startswith("*") else 0), route.hostname
    return _SHOWN_FIRST[route.sticky], route.hostname


def get(connection: Connection, hostname: str, *, workspace_id: str | None = None) -> RouteRow | None:
    """The route, or None when the hostname is not routed (in that workspace)."""
    query = select(routes).where(routes.c.hostname == hostname)
    if workspace_id is not None:
        query = query.where(routes.c.workspace_id == workspace_id)
    return rows.one(RouteRow, connection.execute(query))


def every(connection: Connection) -> list[RouteRow]:
    """All routes, by hostname."""
    return rows.every(RouteRow, connection.execute(select(routes).order_by(routes.c.hostname)))


def page(
    connection: Connection,
    project_id: str,
    *,
    environment_id: str | None = None,
    deployment_id: str | None = None,
    after_hostname: str = "",
    limit: int = 50,
) -> list[RouteRow]:
    """By hostname, from the one after `after_hostname`."""
    query = select(routes).where(routes.c.project_id == project_id, routes.c.hostname > after_hostname)
    if environment_id is not None:
        query = query.where(routes.c.environment_id == environment_id)
    if deployment_id is not None:
        query = query.where(routes.c.deployment_id == deployment_id)
    return rows.every(RouteRow, connection.execute(query.order_by(routes.c.hostname).limit(limit)))


def of_deployment(connection: Connection, deployment_id: str) -> list[RouteRow]:
    """The routes that point at the deployment; domains and live first, its own hostnames last."""
    return by_deployment(connection, [deployment_id]).get(deployment_id, [])


def by_deployment(connection: Connection, deployment_ids: Collection[str]) -> dict[str, list[RouteRow]]:
    """The routes that point at each deployment, in the order of `of_deployment`; no entry for one without any."""
    query = select(routes).where(routes.c.deployment_id.in_(deployment_ids))
    found: dict[str, list[RouteRow]] = {}
    for route in sorted(rows.every(RouteRow, connection.execute(query)), key=_as_shown):
        found.setdefault(route.deployment_id, []).append(route)
    return found


def holders(connection: Connection, hostnames: Collection[str]) -> dict[str, str]:
    """Which deployment each hostname leads to; no entry for one that is an answer or not routed."""
    query = select(routes.c.hostname, routes.c.deployment_id).where(
        routes.c.hostname.in_(hostnames), routes.c.deployment_id.is_not(None)
    )
    return {str(row.hostname): str(row.deployment_id) for row in connection.execute(query)}


def versions(connection: Connection, hostnames: Sequence[str]) -> list[int]:
    """The desired-state version of the last move of each that is routed."""
    query = select(routes.c.version).where(routes.c.hostname.in_(list(hostnames)))
    return [int(version) for version in connection.execute(query).scalars()]


def sticky_hostnames(connection: Connection, deployment_id: str) -> list[str]:
    """Hostnames that point at the deployment and would be missed if it stopped."""
    return [r.hostname for r in of_deployment(connection, deployment_id) if r.sticky is not Sticky.NONE]


def live_hostnames(connection: Connection, deployment_id: str) -> list[str]:
    """The environment's own hostnames that point at the deployment; those of a branch are not among them."""
    return [r.hostname for r in of_deployment(connection, deployment_id) if r.sticky in ENVIRONMENT_WIDE]


def live_deployment_id(connection: Connection, environment_id: str) -> str | None:
    """The holder of the environment's routes; None before the first deployment, and while the app is stopped."""
    query = (
        select(routes.c.deployment_id)
        .where(
            routes.c.environment_id == environment_id,
            routes.c.sticky.in_(ENVIRONMENT_WIDE),
            routes.c.deployment_id.is_not(None),
        )
        .order_by(routes.c.fence.desc())
    )
    row = connection.execute(query).first()
    return None if row is None else str(row.deployment_id)


def stopped_environments(connection: Connection, environment_ids: Collection[str]) -> set[str]:
    """Those whose own hostnames say that the app is stopped."""
    query = select(routes.c.environment_id).where(
        routes.c.environment_id.in_(environment_ids), routes.c.sticky.in_(ENVIRONMENT_WIDE), routes.c.answer == STOPPED
    )
    return {str(environment_id) for environment_id in connection.execute(query).scalars()}


def stopped_projects(connection: Connection, project_ids: Collection[str]) -> set[str]:
    """Those whose own hostname says that the app is stopped."""
    query = select(routes.c.project_id).where(
        routes.c.project_id.in_(project_ids), routes.c.sticky == Sticky.LIVE, routes.c.answer == STOPPED
    )
    return {str(project_id) for project_id in connection.execute(query).scalars()}


def live_routes(connection: Connection, project_ids: Collection[str]) -> dict[str, LiveRoute]:
    """What is live, by project; nothing for a project of which nothing is."""
    pointing = select(routes.c.project_id, routes.c.hostname, routes.c.deployment_id).where(
        routes.c.project_id.in_(project_ids), routes.c.sticky == Sticky.LIVE, routes.c.deployment_id.is_not(None)
    )
    found = connection.execute(pointing).all()
    states: dict[str, list[str]] = defaultdict(list)
    ids = [row.deployment_id for row in found]
    for one in connection.execute(
        select(instances.c.deployment_id, instances.c.state).where(instances.c.deployment_id.in_(ids))
    ):
        states[one.deployment_id].append(one.state)
    return {
        row.project_id: LiveRoute(row.project_id, row.hostname, row.deployment_id, tuple(states[row.deployment_id]))
        for row in found
    }
