"""The transactions that move routes: `assign` takes them for an intent, `undo` gives them back, `release` ends them.

A hostname that is released stays reserved: its route is the answer "stopped" until a newer intent takes it.

The first two are repeatable: a second run finds its own fence and changes nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, insert, select, update

from pkg.db import rows
from pkg.deployments.model import Deployment
from pkg.deployments.status import WARM, Status
from pkg.deployments.tables import deployments
from pkg.desired.capabilities import ROUTE
from pkg.desired.route import STOPPED
from pkg.environments.model import Environment
from pkg.feed.queries import record
from pkg.hostnames import Hostname, Sticky
from pkg.operations.model import OperationKind, OperationStatus
from pkg.operations.tables import operations
from pkg.routes import queries
from pkg.routes.queries import RouteRow
from pkg.routes.rules import ENVIRONMENT_WIDE, CurrentRoute, Intent, RouteMove, decide
from pkg.routes.tables import route_history, routes

STOPPED_BRANCH_KEPT_MS = 30 * 24 * 3600 * 1000


@dataclass(frozen=True)
class Assigned:
    """What `assign` did.

    `version` is the desired-state version that covers the moves (0: nothing to wait for). `taken`: the environment's
    routes point at the deployment now. `newer_deployment_id`: they belong to a newer intent instead. `is_stopped`: a
    newer intent stopped what the environment's routes pointed at.
    """

    version: int
    hostnames: tuple[str, ...]
    previous_deployment_id: str | None
    newer_deployment_id: str | None
    taken: bool
    rolled_back: bool
    is_stopped: bool
    refused: tuple[str, ...]


@dataclass(frozen=True)
class Undone:
    """What `undo` did: hostnames moved back, and hostnames that no deployment answers for any more.

    Those of an app that had been stopped answer so again; the others are removed.
    """

    version: int
    hostnames: tuple[str, ...]
    removed: tuple[str, ...]


def assign(
    connection: Connection,
    *,
    deployment: Deployment,
    environment: Environment,
    hostnames: Sequence[Hostname],
    intent: Intent,
    seq: int,
    now: int,
) -> Assigned:
    """Points the deployment's hostnames at it as far as the rules allow, and records the changes. Repeatable."""
    previous = queries.live_deployment_id(connection, environment.id)
    version, moved, refused, newer, held_back, is_stopped = 0, [], [], None, False, False
    for hostname in hostnames:
        row = queries.get(connection, hostname.hostname)
        sticky = hostname.sticky
        move = decide(
            current=None if row is None else CurrentRoute(row.environment_id, row.deployment_id, row.fence),
            sticky=sticky,
            intent=intent,
            environment_id=environment.id,
            deployment_id=deployment.id,
            seq=seq,
            is_rolled_back=environment.is_rolled_back,
        )
        if move is RouteMove.CREATE:
            version = _create(connection, deployment, environment, hostname, seq, now)
            moved.append(hostname.hostname)
        elif move is RouteMove.MOVE and row is not None:
            version = _move(connection, row, deployment.id, seq, now)
            moved.append(hostname.hostname)
        elif move is RouteMove.KEEP and row is not None:
            version = max(version, row.version)
            moved.append(hostname.hostname)
        elif move is RouteMove.LEAVE_NEWER and row is not None and sticky in ENVIRONMENT_WIDE:
            newer, is_stopped = row.deployment_id or newer, is_stopped or not row.deployment_id
        elif move is RouteMove.LEAVE_ROLLED_BACK:
            held_back = True
        elif move is RouteMove.LEAVE_FOREIGN:
            refused.append(hostname.hostname)
    return Assigned(
        version=version,
        hostnames=tuple(moved),
        previous_deployment_id=None if previous == deployment.id else previous,
        newer_deployment_id=newer,
        taken=queries.live_deployment_id(connection, environment.id) == deployment.id,
        rolled_back=held_back,
        is_stopped=is_stopped,
        refused=tuple(refused),
    )


def undo(connection: Connection, *, deployment_id: str, seq: int, now: int) -> Undone:
    """Gives back what the intent `seq` took for the deployment, route by route, if it still holds it.

    Each goes to the latest earlier intent of its history that has not failed and whose deployment is ready and answers
    now, be it the same deployment (of two switches to it, the newer is undone). Without one it answers "stopped" again
    if it did before, and is removed otherwise.
    """
    version, back, removed = 0, [], []
    mine = select(routes).where(routes.c.deployment_id == deployment_id, routes.c.fence == seq)
    for row in rows.every(RouteRow, connection.execute(mine)):
        earlier = _earlier_deployment(connection, row)
        if earlier is None:
            stopped_by = None if row.sticky is Sticky.NONE else _last_stop(connection, row)
            if stopped_by is None:
                connection.execute(delete(routes).where(_still(row)))
                version = record(connection, ROUTE, row.hostname, now)
            else:
                version = _stop(connection, row, stopped_by, now)
            removed.append(row.hostname)
            continue
        earlier_id, earlier_fence = earlier
        version = record(connection, ROUTE, row.hostname, now)
        connection.execute(
            update(routes)
            .where(_still(row))
            .values(deployment_id=earlier_id, fence=earlier_fence, version=version, updated_at=now)
        )
        back.append(row.hostname)
    return Undone(version, tuple(back), tuple(removed))


def drop_own(connection: Connection, deployment_id: str, now: int) -> int:
    """Removes the hostnames that only this deployment answers for, before it stops; the version, 0 for none.

    They come back when it is switched to again. A route never points at a stopped deployment.
    """
    version = 0
    for row in queries.of_deployment(connection, deployment_id):
        if row.sticky is Sticky.NONE:
            connection.execute(delete(routes).where(_still(row)))
            version = record(connection, ROUTE, row.hostname, now)
    return version


def release(connection: Connection, deployment_id: str, *, seq: int, now: int) -> int:
    """Takes every hostname from the deployment, before the intent `seq` stops it; the version, 0 for none.

    The shared ones answer "stopped" from then on, its own ones are removed. The history keeps who held the shared ones,
    under that intent's number: a rollback finds it, and an undo goes no further back, so that nothing comes back that
    was replaced before the stop.
    """
    version = 0
    for row in queries.of_deployment(connection, deployment_id):
        if row.sticky is not Sticky.NONE:
            connection.execute(
                insert(route_history).values(
                    hostname=row.hostname, deployment_id=deployment_id, fence=seq, moved_at=now
                )
            )
            version = _stop(connection, row, max(seq, row.fence), now)
            continue
        connection.execute(delete(routes).where(_still(row)))
        version = record(connection, ROUTE, row.hostname, now)
    return version


def clear(connection: Connection, environment_id: str, now: int) -> int:
    """Removes every route of an environment with its history: the hostnames are free; the version, 0 for none."""
    version = 0
    mine = select(routes).where(routes.c.environment_id == environment_id).order_by(routes.c.hostname)
    for row in rows.every(RouteRow, connection.execute(mine)):
        connection.execute(delete(route_history).where(route_history.c.hostname == row.hostname))
        connection.execute(delete(routes).where(_still(row)))
        version = record(connection, ROUTE, row.hostname, now)
    return version


def forget_stopped_branches(connection: Connection, now: int) -> None:
    """Removes the hostnames of branches that were stopped `STOPPED_BRANCH_KEPT_MS` ago: most were merged. Idempotent.

    The hostnames of an environment stay reserved for ever.
    """
    before = now - STOPPED_BRANCH_KEPT_MS
    query = select(routes).where(
        routes.c.answer == STOPPED, routes.c.sticky == Sticky.BRANCH, routes.c.updated_at < before
    )
    for row in rows.every(RouteRow, connection.execute(query)):
        connection.execute(delete(routes).where(_still(row)))
        record(connection, ROUTE, row.hostname, now)


def _stop(connection: Connection, row: RouteRow, seq: int, now: int) -> int:
    """Makes the route the answer of a stopped app, with the fence `seq`; the version."""
    version = record(connection, ROUTE, row.hostname, now)
    connection.execute(
        update(routes)
        .where(_still(row))
        .values(deployment_id=None, answer=STOPPED, fence=seq, version=version, updated_at=now)
    )
    return version


def _create(
    connection: Connection, deployment: Deployment, environment: Environment, hostname: Hostname, seq: int, now: int
) -> int:
    version = record(connection, ROUTE, hostname.hostname, now)
    connection.execute(
        insert(routes).values(
            hostname=hostname.hostname,
            workspace_id=deployment.workspace_id,
            project_id=deployment.project_id,
            environment_id=environment.id,
            deployment_id=deployment.id,
            kind=hostname.kind,
            sticky=hostname.sticky,
            fence=seq,
            version=version,
            created_at=now,
            updated_at=now,
        )
    )
    return version


def _move(connection: Connection, row: RouteRow, deployment_id: str, seq: int, now: int) -> int:
    version = record(connection, ROUTE, row.hostname, now)
    if row.deployment_id:  # who held what is stopped stands there since `release`
        connection.execute(
            insert(route_history).values(
                hostname=row.hostname, deployment_id=row.deployment_id, fence=row.fence, moved_at=now
            )
        )
    connection.execute(
        update(routes)
        .where(_still(row))
        .values(deployment_id=deployment_id, answer="", fence=seq, version=version, updated_at=now)
    )
    return version


def _still(row: RouteRow) -> ColumnElement[bool]:
    """Compare and swap: only while the route is as it was read."""
    held = routes.c.deployment_id
    by = held == row.deployment_id if row.deployment_id else held.is_(None)
    return and_(routes.c.hostname == row.hostname, by, routes.c.fence == row.fence)


def _last_stop(connection: Connection, route: RouteRow) -> int | None:
    """The seq of the stop that released the hostname last; None if none did."""
    return connection.execute(_released(route, select(func.max(route_history.c.fence)))).scalar()


def _released(route: RouteRow, history: Select[int]) -> Select[int]:
    """`history` of the hostname as far as stops wrote it."""
    return history.join(operations, operations.c.seq == route_history.c.fence).where(
        route_history.c.hostname == route.hostname,
        operations.c.environment_id == route.environment_id,
        operations.c.kind.in_([OperationKind.STOP, OperationKind.TAKE_DOWN]),
    )


def _earlier_deployment(connection: Connection, route: RouteRow) -> tuple[str, int] | None:
    released = _released(route, select(func.coalesce(func.max(route_history.c.id), 0)))
    # A switch that failed while a newer intent held the route had nothing to give back: the history still names it.
    failed = select(operations.c.seq).where(
        operations.c.environment_id == route.environment_id, operations.c.status == OperationStatus.FAILED
    )
    query = (
        select(route_history.c.deployment_id, route_history.c.fence)
        .join(deployments, deployments.c.id == route_history.c.deployment_id)
        .where(
            route_history.c.hostname == route.hostname,
            route_history.c.id > released.scalar_subquery(),
            route_history.c.fence < route.fence,
            route_history.c.fence.not_in(failed),
            deployments.c.status == Status.READY,
            deployments.c.run_state.in_(WARM),
            deployments.c.deletion_id.is_(None),
        )
        .order_by(route_history.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return None if row is None else (str(row.deployment_id), int(row.fence))


def rollback_target(connection: Connection, environment_id: str, live_deployment_id: str) -> str | None:
    """The deployment that was live before the live one and can be switched to, or None.

    The latest of the environment's route history, among deployments that are ready, have an image and are older than
    the live one: so a repeated rollback goes further back, not to and fro, and a version that was rolled back from is
    not returned to after a promote.
    """
    live_seq = select(deployments.c.seq).where(deployments.c.id == live_deployment_id).scalar_subquery()
    query = (
        select(route_history.c.deployment_id)
        .join(routes, routes.c.hostname == route_history.c.hostname)
        .join(deployments, deployments.c.id == route_history.c.deployment_id)
        .where(
            routes.c.environment_id == environment_id,
            routes.c.sticky.in_(ENVIRONMENT_WIDE),
            deployments.c.status == Status.READY,
            deployments.c.image_ref != "",
            deployments.c.deletion_id.is_(None),
            deployments.c.seq < live_seq,
        )
        .order_by(route_history.c.id.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return None if row is None else str(row.deployment_id)


def is_live_by_rollback(connection: Connection, environment_id: str) -> bool:
    """Whether a rollback made live what is live in the environment; False if nothing is."""
    query = (
        select(operations.c.kind)
        .select_from(routes)
        .join(
            operations,
            and_(operations.c.environment_id == routes.c.environment_id, operations.c.seq == routes.c.fence),
        )
        .where(
            routes.c.environment_id == environment_id,
            routes.c.sticky.in_(ENVIRONMENT_WIDE),
            routes.c.deployment_id.is_not(None),
        )
    )
    return OperationKind.ROLLBACK in connection.execute(query).scalars().all()
