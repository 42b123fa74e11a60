"""The servicer of StatsService."""

# ruff: noqa: N802 - methods are named as the protos name them

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from pkg.access import AccessFigures, Answers
from pkg.access.latency import percentile_us
from pkg.deployments import queries as deployments
from pkg.deployments.queries import Place
from pkg.desired.processes import WEB, process_of_instance
from pkg.environments import queries as environments
from pkg.errors import NotFound
from pkg.regions import queries as regions
from pkg.routes import queries as routes
from pkg.telemetry import UsageFigures, UsageRecord
from sealift.ctrl.v1 import stats_pb2 as pb
from sealift.ctrl.v1 import usage_pb2
from svc.api.deps import ApiDeps
from svc.api.requests import lookup
from svc.api.requests.checks import check_no_nul, check_range, shown
from svc.api.rpc import Call
from svc.api.services.stats import usage
from svc.api.services.stats.reading import Read, known_ms, notices, read, window

MAX_DEPLOYMENTS = 100
MAX_INSTANCES = 1000
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
    """Access figures and usage of the caller's workspace."""

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

    async def GetUsage(self, request: usage_pb2.GetUsageRequest, call: Call) -> usage_pb2.GetUsageResponse:
        """Unavailable `telemetry.unavailable` while the store is away."""
        since = check_range("since", request.since, 0, _MAX_TIME)
        until = check_range("until", request.until, 0, _MAX_TIME)
        now = self._deps.clock()
        wanted = usage.window(since, until, now)
        asked = await self._deps.db.read(_asked, call.workspace_id, request)
        found = await usage.read(self._deps.telemetry, asked.project_id, wanted, asked.deployment_id)
        ids = {*(one for one, _ in found.instances), *asked.live}
        known = await self._deps.db.read(_known, ids)
        return _rendered_usage(found, asked, known, now if request.instances else None)


def _asked(
    connection: Connection, workspace_id: str, request: pb.GetStatsRequest | usage_pb2.GetUsageRequest
) -> _Asked:
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


def _rendered_usage(
    found: usage.UsageRead, asked: _Asked, known: _Known, now: int | None
) -> usage_pb2.GetUsageResponse:
    """`now`: the time now, for figures by instance; None: without them."""
    figures = {
        deployment_id: used
        for deployment_id, used in found.by_deployment().items()
        if deployment_id in known.places and asked.environment_id in ("", known.places[deployment_id].environment_id)
    }
    slugs = {one: known.slugs[known.places[one].environment_id] for one in figures}
    by_environment: dict[str, UsageFigures] = {}
    for deployment_id, used in figures.items():
        slug = slugs[deployment_id]
        by_environment[slug] = by_environment.get(slug, UsageFigures()) + used
    ranked = sorted(figures, key=lambda one: (-figures[one].cpu_ns, -known.places[one].created_at))
    instances = [one for key, one in sorted(found.instances.items()) if key[0] in figures]
    return usage_pb2.GetUsageResponse(
        since=found.window.since,
        until=found.window.until,
        step_s=found.window.step_s,
        environments=[
            usage_pb2.EnvironmentUsage(environment_slug=slug, usage=_usage(used))
            for slug, used in sorted(by_environment.items())
        ],
        deployments=[
            usage_pb2.DeploymentUsage(
                deployment_id=one, environment_slug=slugs[one], is_live=one in asked.live, usage=_usage(figures[one])
            )
            for one in ranked[:MAX_DEPLOYMENTS]
        ],
        instances=[] if now is None else [_instance_usage(one, now) for one in instances[:MAX_INSTANCES]],
        processes=_by_process({key: one for key, one in found.instances.items() if key[0] in figures}),
        total=_usage(sum(figures.values(), start=UsageFigures())),
        left_out=max(0, len(ranked) - MAX_DEPLOYMENTS),
        notices=usage.notices(instances, is_live=bool(asked.live)),
    )


def _by_process(found: Mapping[tuple[str, str], usage.InstanceRead]) -> list[usage_pb2.ProcessUsage]:
    """The figures of instances by process; `found` by deployment and name."""
    figures: dict[str, UsageFigures] = {}
    for (_, instance_id), one in found.items():
        process = process_of_instance(instance_id)
        figures[process] = figures.get(process, UsageFigures()) + one.figures
    return [usage_pb2.ProcessUsage(process=one or WEB, usage=_usage(used)) for one, used in sorted(figures.items())]


def _instance_usage(one: usage.InstanceRead, now: int) -> usage_pb2.InstanceUsage:
    newest = one.newest
    return usage_pb2.InstanceUsage(
        deployment_id=newest.deployment_id,
        instance_id=newest.instance_id,
        region=newest.region,
        process=process_of_instance(newest.instance_id),
        usage=_usage(one.figures),
        now=_usage_now(newest) if now - newest.measured_at <= usage.NOW_MS else None,
    )


def _usage_now(newest: UsageRecord) -> usage_pb2.UsageNow:
    return usage_pb2.UsageNow(
        measured_at=newest.measured_at, cpu_millicores=newest.cpu_millicores, memory_bytes=newest.memory_bytes
    )


def _usage(used: UsageFigures) -> usage_pb2.Usage:
    return usage_pb2.Usage(
        vcpu_s=used.cpu_ns / 1e9,
        memory_gib_h=used.memory_byte_s / (1 << 30) / 3600,
        instance_s=used.measured_ms / 1000,
        restarts=used.restarts,
        network_rx_bytes=used.network_rx_bytes,
        network_tx_bytes=used.network_tx_bytes,
        disk_read_bytes=used.disk_read_bytes,
        disk_write_bytes=used.disk_write_bytes,
    )
