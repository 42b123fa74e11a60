"""Usage from krane's report to the answer that users get."""

from typing import Any

import grpc
import pytest
from grpc import aio

from pkg.clock import now_ms
from sealift.ctrl.v1 import deployment_pb2, project_pb2
from sealift.ctrl.v1 import usage_pb2 as pb
from svc.api.cluster_testing import place, register
from svc.api.conftest import Deploy
from svc.api.testing import REGION, RunningApi, refused

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


@pytest.fixture(autouse=True)
async def epoch(api: RunningApi) -> str:
    return await register(api)


@pytest.fixture
async def made(api: RunningApi, deploy: Deploy) -> deployment_pb2.Deployment:
    made = await deploy()
    await api.db.write(place, made.deployment_id)
    return made


def used(of: str, at: int, minutes: int, **fields: Any) -> pb.UsageReport:
    """All that an instance used in its first minutes: half a CPU, and 1 GiB."""
    facts = {
        "deployment_id": of,
        "instance_id": "dep-a-0",
        "source_id": "a1",
        "began_at": at - minutes * MINUTE_MS,
        "seq": at,
        "measured_at": at,
        "cpu_ns": minutes * 30 * 10**9,
        "memory_byte_s": minutes * 60 << 30,
        "measured_ms": minutes * MINUTE_MS,
        "network_rx_bytes": minutes * 100,
        "network_tx_bytes": minutes * 200,
        "cpu_millicores": 500,
        "memory_bytes": 1 << 30,
    }
    return pb.UsageReport(**{**facts, **fields})


async def report(api: RunningApi, *reports: pb.UsageReport) -> None:
    await api.krane.cluster.ReportUsage(pb.ReportUsageRequest(region=REGION, reports=reports))


async def usage(api: RunningApi, project: project_pb2.Project, **fields: Any) -> pb.GetUsageResponse:
    answer: pb.GetUsageResponse = await api.admin.stats.GetUsage(
        pb.GetUsageRequest(project_id=project.project_id, **fields)
    )
    return answer


async def test_what_is_reported_counts_once(
    api: RunningApi, project: project_pb2.Project, made: deployment_pb2.Deployment
) -> None:
    """Promise: reports may come twice, late, or not at all; of each series what it used last counts, and series of
    another begin are added."""
    now = now_ms()
    first, last = used(made.deployment_id, now - 5 * MINUTE_MS, 5), used(made.deployment_id, now, 10)
    other = used(made.deployment_id, now, 2, source_id="b2", instance_id="dep-a-1", restarts=1)
    for reports in ((first,), (last, other), (last,), (first,)):
        await report(api, *reports)
    found = await usage(api, project, instances=True)
    assert (found.total.vcpu_s, found.total.instance_s, found.total.restarts) == (360, 720, 1)
    assert found.total.memory_gib_h == pytest.approx(0.2)
    assert (found.total.network_rx_bytes, found.total.network_tx_bytes) == (1200, 2400)
    assert not found.total.HasField("disk_read_bytes")
    assert [(one.environment_slug, one.usage) for one in found.environments] == [("production", found.total)]
    assert [(one.deployment_id, one.usage) for one in found.deployments] == [(made.deployment_id, found.total)]
    assert [(one.instance_id, one.usage.vcpu_s) for one in found.instances] == [("dep-a-0", 300), ("dep-a-1", 60)]
    assert (found.instances[0].now.cpu_millicores, found.instances[0].now.memory_bytes) == (500, 1 << 30)
    assert found.notices == [f"unknown: disk traffic of 2 of 2 instances in region {REGION}"]
    assert list((await usage(api, project)).instances) == []
    assert [(one.process, one.usage) for one in found.processes] == [("web", found.total)]
    worker = used(made.deployment_id, now, 4, source_id="c3", instance_id="dep-a-worker-0")
    await report(api, worker)
    found = await usage(api, project, instances=True)
    assert [(one.process, one.usage.vcpu_s) for one in found.processes] == [("web", 360), ("worker", 120)]
    assert [one.process for one in found.instances] == ["", "", "worker"]


async def test_what_was_used_before_is_not_counted(
    api: RunningApi, project: project_pb2.Project, made: deployment_pb2.Deployment
) -> None:
    """Promise: of a time only what was used in it; minutes, hours and days say the same where they can."""
    now = now_ms()
    began = now - 90 * MINUTE_MS
    for minutes in range(0, 91, 10):
        await report(api, used(made.deployment_id, began + minutes * MINUTE_MS, minutes))
    half = await usage(api, project, since=now - 30 * MINUTE_MS)
    assert (half.step_s, half.total.vcpu_s) == (60, 30 * 30 + 300)  # the last one before is of ten minutes earlier
    assert half.since % MINUTE_MS == 0
    ago = await usage(api, project, since=began - 10 * MINUTE_MS, until=now - 29 * MINUTE_MS)
    assert ago.total.vcpu_s == 60 * 30
    hours, days = await usage(api, project), await usage(api, project, since=now - 40 * DAY_MS)
    assert (hours.step_s, days.step_s) == (3600, 86400)
    assert hours.total.vcpu_s == days.total.vcpu_s == 90 * 30


async def test_what_is_not_known_is_said(
    api: RunningApi, project: project_pb2.Project, made: deployment_pb2.Deployment
) -> None:
    """Promise: a time without measurements, and a series whose begin is gone, are named; old figures are not "now"."""
    now = now_ms()
    await report(api, used(made.deployment_id, now - 2 * MINUTE_MS, 60, measured_ms=50 * MINUTE_MS))
    found = await usage(api, project, instances=True)
    assert f"memory of 10 min is not counted: instances in region {REGION}" in found.notices[0]
    assert not found.instances[0].HasField("now")
    short = await usage(api, project, since=now - 30 * MINUTE_MS)
    assert short.total.vcpu_s == 0
    assert any(f"what 1 instances in region {REGION} used" in one for one in short.notices)


async def test_usage_stays_within_a_workspace(
    api: RunningApi, project: project_pb2.Project, made: deployment_pb2.Deployment
) -> None:
    """Promise: another project does not see it; unknown deployments and far times are dropped, not refused."""
    now = now_ms()
    await report(
        api,
        used(made.deployment_id, now, 1),
        used("dep_" + "0" * 26, now, 1),
        used(made.deployment_id, now + 2 * DAY_MS, 1),
        used(made.deployment_id, now - 500 * DAY_MS, 1),
    )
    other = (await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="other"))).project
    assert (await usage(api, other)).total.vcpu_s == 0
    assert (await usage(api, project, environment_slug="production")).total.vcpu_s == 30
    with pytest.raises(aio.AioRpcError) as error:
        await usage(api, other, deployment_id=made.deployment_id)
    assert refused(error.value)[:3] == (grpc.StatusCode.NOT_FOUND, "deployment.not_found", "deployment_id")
    with pytest.raises(aio.AioRpcError) as error:
        await api.krane.stats.GetUsage(pb.GetUsageRequest(project_id=project.project_id))
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(("since", "until"), [(10, 5), (1, 0), (2**53, 0), (2**60, 0), (-1, 0)])
async def test_times_that_make_no_sense(api: RunningApi, project: project_pb2.Project, since: int, until: int) -> None:
    """Promise: refused with the field."""
    with pytest.raises(aio.AioRpcError) as error:
        await usage(api, project, since=since, until=until)
    assert refused(error.value)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert refused(error.value)[2] == "since"


@pytest.mark.parametrize(
    "harm",
    [
        {"deployment_id": "hello"},
        {"instance_id": "x" * 254},
        {"source_id": "A"},
        {"measured_at": -1},
        {"cpu_ns": 2**63},
        {"disk_read_bytes": 2**64 - 1},
    ],
)
async def test_reports_that_make_no_sense(
    api: RunningApi, made: deployment_pb2.Deployment, harm: dict[str, Any]
) -> None:
    """Promise: refused with the field at fault."""
    with pytest.raises(aio.AioRpcError) as error:
        await report(api, used(made.deployment_id, now_ms(), 1, **harm))
    assert refused(error.value)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert refused(error.value)[2] == f"reports[0].{next(iter(harm))}"
