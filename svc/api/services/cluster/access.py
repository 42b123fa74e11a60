"""Access figures that krane reports: checked, and as they are stored. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from pkg.access import KEPT_MS, STEPS_S, AccessFigures, Answers
from pkg.access.latency import BUCKETS
from pkg.deployments.queries import Place
from pkg.errors import InvalidArgument
from pkg.ids import is_id
from pkg.telemetry import AccessRecord
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import stats_pb2
from svc.api.requests.checks import check_range, shown
from svc.api.services.cluster.validation import replica_id

MAX_REPORTS = 1000
MAX_AHEAD_MS = 24 * 3600 * 1000
_MAX = 2**63 - 1  # what a store holds


@dataclass(frozen=True)
class Reported:
    """One report, checked."""

    deployment_id: str
    step_s: int
    at: int
    part: int
    revision: int
    counted_until: int
    is_incomplete: bool
    figures: AccessFigures


def reported(request: pb.ReportAccessRequest) -> list[Reported]:
    """The reports of the request."""
    replica_id(request.replica_id)
    check_range("reports", len(request.reports), 0, MAX_REPORTS)
    return [_reported(f"reports[{number}]", report) for number, report in enumerate(request.reports)]


def records(
    reports: list[Reported], places: Mapping[str, Place], region: str, writer: str, now: int
) -> list[AccessRecord]:
    """What is stored of them: of known deployments, and of steps that are kept and not far ahead."""
    return [
        AccessRecord(
            project_id=places[one.deployment_id].project_id if one.deployment_id else "",
            step_s=one.step_s,
            at=one.at,
            deployment_id=one.deployment_id,
            region=region,
            writer=writer,
            part=one.part,
            revision=one.revision,
            counted_until=one.counted_until,
            is_incomplete=one.is_incomplete,
            figures=one.figures,
        )
        for one in reports
        if (not one.deployment_id or one.deployment_id in places)
        and now - KEPT_MS[one.step_s] <= one.at <= now + MAX_AHEAD_MS
    ]


def _reported(field: str, report: pb.AccessReport) -> Reported:
    if report.deployment_id and not is_id("dep", report.deployment_id):
        raise InvalidArgument(f"{field}.deployment_id", f"{shown(report.deployment_id)} is not a deployment id")
    if report.step_s not in STEPS_S:
        raise InvalidArgument(f"{field}.step_s", f"{report.step_s} is neither 60 nor 3600")
    at = check_range(f"{field}.at", report.at, 0, _MAX)
    if at % (report.step_s * 1000):
        raise InvalidArgument(f"{field}.at", f"{at} is not the begin of a step of {report.step_s} s")
    return Reported(
        deployment_id=report.deployment_id,
        step_s=report.step_s,
        at=at,
        part=check_range(f"{field}.part", report.part, 0, _MAX),
        revision=check_range(f"{field}.revision", report.revision, 0, _MAX),
        counted_until=check_range(f"{field}.counted_until", report.counted_until, at, at + report.step_s * 1000),
        is_incomplete=report.is_incomplete,
        figures=_figures(f"{field}.figures", report.figures),
    )


def _figures(field: str, figures: stats_pb2.AccessFigures) -> AccessFigures:
    check_range(f"{field}.latencies", len(figures.latencies), 0, BUCKETS)
    latencies: dict[int, int] = {}
    for number, one in enumerate(figures.latencies):
        bucket = check_range(f"{field}.latencies[{number}].bucket", one.bucket, 0, BUCKETS - 1)
        latencies[bucket] = check_range(f"{field}.latencies[{number}].requests", one.requests, 0, _MAX)
    return AccessFigures(
        app=_answers(f"{field}.app", figures.app),
        ingress=_answers(f"{field}.ingress", figures.ingress),
        unanswered=check_range(f"{field}.unanswered", figures.unanswered, 0, _MAX),
        bytes_in=check_range(f"{field}.bytes_in", figures.bytes_in, 0, _MAX),
        bytes_out=check_range(f"{field}.bytes_out", figures.bytes_out, 0, _MAX),
        latencies=latencies,
    )


def _answers(field: str, counts: stats_pb2.StatusCounts) -> Answers:
    return Answers(*(check_range(f"{field}.{name}", getattr(counts, name), 0, _MAX) for name in Answers._fields))
