"""The servicer of StatsService."""

# ruff: noqa: N802 - methods are named as the protos name them

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from pkg.access import AccessFigures, Answers
from pkg.access.latency import percentile_us
from pkg.deployments import queries as deployments
from pkg.deployments.queries import Place
from pkg.environments import queries as environments
from pkg.errors import NotFound
from pkg.regions import queries as regions
from pkg.routes import queries as routes
from sealift.ctrl.v1 import stats_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.requests import lookup
from svc.api.requests.checks import check_no_nul, check_range, shown
from svc.api.rpc import Call
from svc.api.services.stats.reading import Read, known_ms, notices, read, window

MAX_DEPLOYMENTS = 100
_MAX_TIME = 2**53


@dataclass(frozen=True)
class _Asked:
    """What the figures are about.

    Attributes:
        environment_id: "" for all.
        deployment_id: "" for all.
        live: by deployment that is live, the regions where it runs.
    """

    project_id: str
    environment_id: str
    deployment_id: str
    live: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class _Known:
    """Of the deployments that have figures or are live: their places and the slugs of their environments."""

    places: Mapping[str, Place]
    slugs: Mapping[str, str]


class StatsServicer:
    """Access figures of the caller's workspace."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    async def GetStats(self, request: pb.GetStatsRequest, call: Call) -> pb.GetStatsResponse:
        """Unavailable `telemetry.unavailable` while the store is away."""
        since = check_range("since", request.since, 0, _MAX_TIME)
        until = check_range("until", request.until, 0, _MAX_TIME)
        wanted = window(since, until, self._deps.clock())
        asked = await self._deps.db.read(_asked, call.workspace_id, request)
        found = await read(self._deps.telemetry, asked.project_id, wanted, asked.deployment_id)
        ids = {*found.by_deployment, *asked.live, *({asked.deployment_id} - {""})}
        known = await self._deps.db.read(_known, ids)
        return _rendered(found, asked, known, with_points=request.points)


def _asked(connection: Connection, workspace_id: str, request: pb.GetStatsRequest) -> _Asked:
    project = lookup.project(connection, workspace_id, request.project_id)
    chosen = environments.of_project(connection, project.id)
    environment_id = deployment_id = ""
    if request.HasField("environment_slug"):
        slug = check_no_nul("environment_slug", request.environment_slug)
        one = lookup.environment_by_slug(connection, project, slug, field="environment_slug")
        chosen, environment_id = [one], one.id
    live = [routes.live_deployment_id(connection, environment.id) for environment in chosen]
    if request.HasField("deployment_id"):
        deployment = lookup.deployment(connection, workspace_id, request.deployment_id)
        if deployment.project_id != project.id or environment_id not in ("", deployment.environment_id):
            raise NotFound(
                "deployment.not_found",
                f"The deployment {deployment.id} is not of {shown(request.environment_slug or project.slug)}.",
                field="deployment_id",
            )
        deployment_id = deployment.id
        live = [one for one in live if one == deployment_id]
    placed = {one: _regions_of(connection, one) for one in live if one is not None}
    return _Asked(project.id, environment_id, deployment_id, placed)


def _regions_of(connection: Connection, deployment_id: str) -> frozenset[str]:
    return frozenset(row.region for row in regions.topologies_of(connection, deployment_id))


def _known(connection: Connection, ids: set[str]) -> _Known:
    places = deployments.places(connection, ids)
    return _Known(places, environments.slugs(connection, {place.environment_id for place in places.values()}))


def _rendered(found: Read, asked: _Asked, known: _Known, *, with_points: bool) -> pb.GetStatsResponse:
    wanted = found.window
    # what runs nowhere now was counted wherever an ingress reported
    involved = frozenset().union(*asked.live.values()) or frozenset(found.regions)
    times = found.known(involved)
    figures = {
        deployment_id: found.total(deployment_id)
        for deployment_id, place in known.places.items()
        if asked.environment_id in ("", place.environment_id)
    }
    begin = min((known.places[one].created_at for one in figures), default=0)
    ranked = sorted(figures, key=lambda one: (-figures[one].requests, -known.places[one].created_at))
    return pb.GetStatsResponse(
        since=wanted.since,
        until=wanted.until,
        step_s=wanted.step_s,
        deployments=[
            pb.DeploymentStats(
                deployment_id=one,
                environment_slug=known.slugs[known.places[one].environment_id],
                is_live=one in asked.live,
                total=_stats(figures[one], known_ms(times, known.places[one].created_at, wanted.until)),
                points=_points(found, one, times) if with_points else (),
            )
            for one in ranked[:MAX_DEPLOYMENTS]
        ],
        total=_stats(
            sum(figures.values(), start=AccessFigures()),
            known_ms(times, begin, wanted.until),
        ),
        left_out=max(0, len(ranked) - MAX_DEPLOYMENTS),
        notices=(
            notices(found, involved, begin=begin) if involved else ["unknown: no region reported figures of this time"]
        ),
    )


def _stats(figures: AccessFigures, counted_ms: int) -> pb.Stats:
    p50, p90, p99 = (percentile_us(figures.latencies, percent) for percent in (50, 90, 99))
    return pb.Stats(
        requests=figures.requests,
        app=_counts(figures.app),
        ingress=_counts(figures.ingress),
        unanswered=figures.unanswered,
        bytes_in=figures.bytes_in,
        bytes_out=figures.bytes_out,
        known_s=counted_ms / 1000,
        p50_us=p50,
        p90_us=p90,
        p99_us=p99,
    )


def _counts(answers: Answers) -> pb.StatusCounts:
    return pb.StatusCounts(**answers._asdict())


def _points(found: Read, deployment_id: str, times: Mapping[int, int]) -> list[pb.StatsPoint]:
    steps = found.by_deployment.get(deployment_id, {})
    none = AccessFigures()
    return [
        pb.StatsPoint(at=at, requests=steps.get(at, none).requests, errors=steps.get(at, none).errors)
        for at in sorted({*times, *steps})
    ]
