"""Deployments with all that is shown of them, read in a handful of statements however many they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from pkg.deployments import queries
from pkg.deployments.model import Deployment, StepRow
from pkg.deployments.status import Status
from pkg.environments import queries as environments
from pkg.regions import ports
from pkg.regions import queries as regions
from pkg.regions.queries import InstanceRow
from pkg.regions.silence import Silence, silences
from pkg.routes import queries as routes
from pkg.routes.queries import RouteRow
from pkg.workflows.deploy import DEPLOY
from svc.api.requests import queued


@dataclass(frozen=True)
class View:
    """A deployment and what belongs to it now.

    Attributes:
        silences: of regions, by name.
        scaled_to: how many instances the environment was scaled to; None: it never was.
        processes_scaled_to: the same by process, of those that were scaled.
    """

    deployment: Deployment
    environment_slug: str
    steps: tuple[StepRow, ...]
    routes: tuple[RouteRow, ...]
    instances: tuple[InstanceRow, ...]
    is_live: bool
    queued_reason: str
    superseded_by: str
    adopted_port: int
    silences: Mapping[str, Silence]
    scaled_to: int | None = None
    processes_scaled_to: Mapping[str, int] = field(default_factory=dict)


def views(connection: Connection, found: Sequence[Deployment], now: int) -> list[View]:
    """The views, in the same order."""
    ids = [d.id for d in found]
    environment_ids = {d.environment_id for d in found}
    steps = queries.steps_by_deployment(connection, ids)
    pointing = routes.by_deployment(connection, ids)
    running = regions.instances_by_deployment(connection, ids)
    slugs = environments.slugs(connection, environment_ids)
    scaled = environments.replicas(connection, environment_ids)
    processes_scaled = environments.process_replicas(connection, environment_ids)
    silent = silences(regions.every(connection), now)
    adopted = ports.adopted_by(connection, ids)
    live = {environment_id: routes.live_deployment_id(connection, environment_id) for environment_id in environment_ids}
    waiting = [d.id for d in found if d.status is Status.PENDING]
    held = queued.reasons(connection, DEPLOY, waiting)
    superseded = [d.id for d in found if d.status is Status.SUPERSEDED]
    successors = queries.successors(connection, superseded) if superseded else {}
    return [
        View(
            deployment=d,
            environment_slug=slugs[d.environment_id],
            steps=tuple(steps.get(d.id, ())),
            routes=tuple(pointing.get(d.id, ())),
            instances=tuple(running.get(d.id, ())),
            is_live=live[d.environment_id] == d.id,
            queued_reason=held.get(d.id, ""),
            superseded_by=successors.get(d.id, ""),
            adopted_port=adopted.get(d.id, 0),
            silences=silent,
            scaled_to=scaled.get(d.environment_id),
            processes_scaled_to=processes_scaled.get(d.environment_id, {}),
        )
        for d in found
    ]


def view(connection: Connection, found: Deployment, now: int) -> View:
    """The view of one deployment."""
    return views(connection, [found], now)[0]
