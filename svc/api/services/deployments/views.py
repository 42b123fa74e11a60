"""Deployments with all that is shown of them, read in a handful of statements however many they are."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from pkg.db import rows
from pkg.deployments import queries
from pkg.deployments.model import Deployment, StepRow
from pkg.deployments.status import STEP_ORDER, Status, Step
from pkg.deployments.tables import deployment_steps
from pkg.environments.tables import environments
from pkg.hostnames import Sticky
from pkg.regions import ports
from pkg.regions import queries as regions
from pkg.regions.queries import InstanceRow
from pkg.regions.silence import Silence, silences
from pkg.regions.tables import instances
from pkg.routes.queries import Route, live_deployment_id
from pkg.routes.tables import routes
from pkg.workflows.deploy import DEPLOY
from svc.api.requests import queued

_SHOWN_FIRST = {sticky: n for n, sticky in enumerate((Sticky.LIVE, Sticky.ENVIRONMENT, Sticky.BRANCH, Sticky.NONE))}


@dataclass(frozen=True)
class View:
    """A deployment and what belongs to it now. `silences`: of regions, by name."""

    deployment: Deployment
    environment_slug: str
    steps: tuple[StepRow, ...]
    routes: tuple[Route, ...]
    instances: tuple[InstanceRow, ...]
    is_live: bool
    queued_reason: str
    superseded_by: str
    adopted_port: int
    silences: Mapping[str, Silence]


def views(connection: Connection, found: Sequence[Deployment], now: int) -> list[View]:
    """The views, in the same order."""
    ids = [d.id for d in found]
    environment_ids = {d.environment_id for d in found}
    steps: dict[str, list[StepRow]] = defaultdict(list)
    for step in rows.every(
        StepRow, connection.execute(select(deployment_steps).where(deployment_steps.c.deployment_id.in_(ids)))
    ):
        steps[step.deployment_id].append(step)
    pointing: dict[str, list[Route]] = defaultdict(list)
    for route in rows.every(Route, connection.execute(select(routes).where(routes.c.deployment_id.in_(ids)))):
        pointing[route.deployment_id].append(route)
    running: dict[str, list[InstanceRow]] = defaultdict(list)
    for instance in rows.every(
        InstanceRow, connection.execute(select(instances).where(instances.c.deployment_id.in_(ids)))
    ):
        running[instance.deployment_id].append(instance)
    slugs = {
        str(row.id): str(row.slug)
        for row in connection.execute(
            select(environments.c.id, environments.c.slug).where(environments.c.id.in_(environment_ids))
        )
    }
    silent = silences(regions.every(connection), now)
    adopted = ports.adopted_by(connection, ids)
    live = {environment_id: live_deployment_id(connection, environment_id) for environment_id in environment_ids}
    waiting = [d.id for d in found if d.status is Status.PENDING]
    held = queued.reasons(connection, DEPLOY, waiting)
    superseded = [d.id for d in found if d.status is Status.SUPERSEDED]
    successors = queries.successors(connection, superseded) if superseded else {}
    return [
        View(
            deployment=d,
            environment_slug=slugs[d.environment_id],
            steps=tuple(sorted(steps[d.id], key=lambda s: STEP_ORDER[Step(s.name)])),
            routes=tuple(sorted(pointing[d.id], key=lambda r: (_SHOWN_FIRST[r.sticky], r.hostname))),
            instances=tuple(sorted(running[d.id], key=lambda i: (i.region, i.replica))),
            is_live=live[d.environment_id] == d.id,
            queued_reason=held.get(d.id, ""),
            superseded_by=successors.get(d.id, ""),
            adopted_port=adopted.get(d.id, 0),
            silences=silent,
        )
        for d in found
    ]


def view(connection: Connection, found: Deployment, now: int) -> View:
    """The view of one deployment."""
    return views(connection, [found], now)[0]
