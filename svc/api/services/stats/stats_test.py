"""Access figures from krane's report to the answer that users get."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc import aio
from sqlalchemy import update

from pkg.access.latency import bucket_of
from pkg.clock import now_ms
from pkg.deployments.tables import deployments
from sealift.ctrl.v1 import cluster_pb2 as cluster
from sealift.ctrl.v1 import deployment_pb2, project_pb2
from sealift.ctrl.v1 import stats_pb2 as pb
from svc.api.cluster_testing import place, register
from svc.api.conftest import Deploy
from svc.api.testing import REGION, RunningApi, refused

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


@pytest.fixture(autouse=True)
async def epoch(api: RunningApi) -> str:
    return await register(api)


@pytest.fixture
def minute() -> int:
    """The begin of a minute that is over."""
    now = now_ms()
    return now - now % MINUTE_MS - 3 * MINUTE_MS


def counted(
    at: int, deployment_id: str = "", revision: int = 1, step_s: int = 60, **answers: int
) -> cluster.AccessReport:
    """A report of a whole step; answers of the app by the names of their classes, in 1 ms each."""
    requests = sum(answers.values())
    figures = pb.AccessFigures(
        app=pb.StatusCounts(**answers),
        bytes_out=10 * requests,
        latencies=[pb.LatencyCount(bucket=bucket_of(1000), requests=requests)] if requests else [],
    )
    return cluster.AccessReport(
        deployment_id=deployment_id,
        step_s=step_s,
        at=at,
        part=1,
        revision=revision,
        counted_until=at + step_s * 1000,
        figures=figures,
    )


async def report(api: RunningApi, *reports: cluster.AccessReport, replica: str = "inst_a") -> None:
    """What a replica of the region reports."""
    request = cluster.ReportAccessRequest(region=REGION, replica_id=replica, reports=reports)
    await api.krane.cluster.ReportAccess(request)


async def stats(api: RunningApi, project: project_pb2.Project, **fields: Any) -> pb.GetStatsResponse:
    answer: pb.GetStatsResponse = await api.admin.stats.GetStats(
        pb.GetStatsRequest(project_id=project.project_id, **fields)
    )
    return answer


@pytest.fixture
async def made(api: RunningApi, deploy: Deploy) -> deployment_pb2.Deployment:
    made = await deploy()
    await api.db.write(place, made.deployment_id)
    return made


async def test_what_is_reported_is_told_once(
    api: RunningApi, project: project_pb2.Project, made: deployment_pb2.Deployment, minute: int
) -> None:
    """Promise: reports may come twice, late and from several replicas; each request is counted once."""
    first = counted(minute, made.deployment_id, status_2xx=5)
    whole = counted(minute, made.deployment_id, revision=2, status_2xx=7, status_5xx=1)
    for reports in ((first,), (whole,), (whole,), (first,)):
        await report(api, counted(minute), *reports)
    await report(api, counted(minute), counted(minute, made.deployment_id, status_2xx=4), replica="inst_b")
    found = await stats(api, project, points=True)
    (one,) = found.deployments
    assert (one.deployment_id, one.environment_slug, one.is_live) == (made.deployment_id, "production", False)
    assert (one.total.requests, one.total.app.status_2xx, one.total.app.status_5xx) == (12, 11, 1)
    assert one.total.bytes_out == 120
    assert [(point.at, point.requests, point.errors) for point in one.points] == [(minute, 12, 1)]
    assert abs(one.total.p50_us - 1000) <= 80
    assert found.total == one.total


async def test_unknown_is_not_told_as_none(
    api: RunningApi, project: project_pb2.Project, made: deployment_pb2.Deployment, minute: int
) -> None:
    """Promise: a time without reports is named as unknown; no latency is told where none was measured."""
    nothing = await stats(api, project)
    assert nothing.notices == ["unknown: no region reported figures of this time"]
    assert (nothing.total.known_s, nothing.total.HasField("p50_us"), list(nothing.deployments)) == (0, False, [])
    await report(api, counted(minute))
    assert (await stats(api, project, deployment_id=made.deployment_id)).notices == []  # it is new
    lossy = counted(minute, revision=2)
    lossy.is_incomplete = True
    await report(api, lossy)
    earlier = update(deployments).values(created_at=now_ms() - HOUR_MS)
    await api.db.write(lambda connection: connection.execute(earlier))
    found = await stats(api, project, deployment_id=made.deployment_id)
    unknown, restarted = found.notices
    assert unknown.startswith("unknown for 5")
    assert f"region {REGION} reported no figures" in unknown
    assert restarted.startswith("some requests are missing: the ingress of region")
    assert [(one.deployment_id, one.total.requests) for one in found.deployments] == [(made.deployment_id, 0)]


async def test_the_rate_counts_from_the_deployments_begin(
    api: RunningApi, project: project_pb2.Project, made: deployment_pb2.Deployment
) -> None:
    """Promise: requests are shared out over the seconds in which they were counted, not over the time asked for."""
    now = now_ms()
    at = now - now % MINUTE_MS
    running = counted(at)
    running.counted_until = min(max(at, made.created_at) + 20_000, at + MINUTE_MS)
    at_most = (running.counted_until - made.created_at) / 1000
    await report(api, running, counted(at, made.deployment_id, status_2xx=40))
    found = await stats(api, project)
    assert 0 <= found.deployments[0].total.known_s <= at_most


async def test_hours_are_read_for_long_times(
    api: RunningApi, project: project_pb2.Project, made: deployment_pb2.Deployment, minute: int
) -> None:
    """Promise: up to three hours come from minutes, more from hours, and neither is added to the other."""
    hour = minute - minute % HOUR_MS
    by_hour = counted(hour, made.deployment_id, step_s=3600, status_3xx=50)
    await report(api, counted(minute, made.deployment_id, status_3xx=5), by_hour)
    now = now_ms()
    short, long = await stats(api, project), await stats(api, project, since=now - 2 * DAY_MS)
    assert (short.step_s, short.total.app.status_3xx) == (60, 5)
    assert (long.step_s, long.total.app.status_3xx) == (3600, 50)
    assert (long.since % HOUR_MS, short.since % MINUTE_MS) == (0, 0)


async def test_reports_that_can_not_be_kept_are_dropped(
    api: RunningApi, project: project_pb2.Project, made: deployment_pb2.Deployment, minute: int
) -> None:
    """Promise: what is too old, far ahead or of an unknown deployment is neither stored nor refused, which would make
    krane repeat it for ever."""
    far = [minute + 2 * DAY_MS, minute - 2 * DAY_MS]
    await report(api, *(counted(at, made.deployment_id, status_2xx=1) for at in far))
    await report(api, counted(minute, "dep_" + "0" * 26, status_2xx=1), counted(minute))
    assert (await stats(api, project)).total.requests == 0


async def test_figures_stay_within_a_workspace(
    api: RunningApi, project: project_pb2.Project, made: deployment_pb2.Deployment, minute: int
) -> None:
    """Promise: another project does not see them; a deployment of another project is not found in this one."""
    await report(api, counted(minute), counted(minute, made.deployment_id, status_2xx=5))
    other = (await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="other"))).project
    assert (await stats(api, other)).total.requests == 0
    with pytest.raises(aio.AioRpcError) as error:
        await stats(api, other, deployment_id=made.deployment_id)
    assert refused(error.value)[:3] == (grpc.StatusCode.NOT_FOUND, "deployment.not_found", "deployment_id")
    staging = await stats(api, project, environment_slug="production")
    assert staging.total.requests == 5
    with pytest.raises(aio.AioRpcError) as error:
        await stats(api, project, environment_slug="nowhere")
    assert refused(error.value)[1] == "environment.not_found"
    with pytest.raises(aio.AioRpcError) as error:
        await api.krane.stats.GetStats(pb.GetStatsRequest(project_id=project.project_id))
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(("since", "until"), [(10, 5), (1, 0), (2**53, 0), (2**60, 0), (-1, 0)])
async def test_times_that_make_no_sense(api: RunningApi, project: project_pb2.Project, since: int, until: int) -> None:
    """Promise: refused with the field, which says what is kept."""
    with pytest.raises(aio.AioRpcError) as error:
        await stats(api, project, since=since, until=until)
    assert refused(error.value)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert refused(error.value)[2] == "since"


def wrong_step(report: cluster.AccessReport) -> None:
    report.step_s = 61


def off_step(report: cluster.AccessReport) -> None:
    report.at += 1


def too_far(report: cluster.AccessReport) -> None:
    report.counted_until = report.at + MINUTE_MS + 1


def no_id(report: cluster.AccessReport) -> None:
    report.deployment_id = "hello"


def no_bucket(report: cluster.AccessReport) -> None:
    report.figures.latencies.add(bucket=146, requests=1)


def too_many(report: cluster.AccessReport) -> None:
    report.figures.app.status_2xx = 2**63


@pytest.mark.parametrize("harm", [wrong_step, off_step, too_far, no_id, no_bucket, too_many])
async def test_reports_that_make_no_sense(
    api: RunningApi, minute: int, harm: Callable[[cluster.AccessReport], None]
) -> None:
    """Promise: refused with the field at fault."""
    report_ = counted(minute)
    harm(report_)
    with pytest.raises(aio.AioRpcError) as error:
        await report(api, report_)
    assert refused(error.value)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert refused(error.value)[2].startswith("reports[0].")
