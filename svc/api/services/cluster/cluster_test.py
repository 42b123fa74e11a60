"""What krane reports, and who is woken by it."""

import grpc
import pytest
from grpc import aio
from sqlalchemy import select

from pkg.clock import now_ms
from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState, Status
from pkg.feed import queries as desired
from pkg.operations import queries as operations
from pkg.regions import queries as regions
from pkg.regions.shortage import CAPACITY_SETTLES_WITHIN_MS, SETTLES_WITHIN_MS, shortages
from pkg.regions.silence import SILENT_AFTER_MS
from pkg.regions.tables import replica_nacks
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import ctrl_pb2
from sealift.ctrl.v1 import deployment_pb2 as deployment
from svc.api.cluster_testing import NOW, place, register, report, seen
from svc.api.conftest import Deploy
from svc.api.deployment_testing import make_ready, walk_to
from svc.api.testing import REGION, RecordingRestate, RunningApi, eventually, refused


@pytest.fixture
async def epoch(api: RunningApi) -> str:
    return await register(api)


async def test_healthy_wakes_the_deploy_that_waits(
    api: RunningApi, epoch: str, deploy: Deploy, restate: RecordingRestate
) -> None:
    """Promise: only the workflow is notified, once its instances are healthy or will never be, not before."""
    waiting, other = await deploy(), await deploy(branch="b")
    for made in (waiting, other):
        await api.db.write(place, made.deployment_id)
    await api.db.write(walk_to, waiting.deployment_id, Status.DEPLOYING)
    await report(api, seen(waiting.deployment_id, deployment.INSTANCE_STATE_STARTING))
    await report(api, seen(other.deployment_id, deployment.INSTANCE_STATE_HEALTHY))
    await report(api, seen(waiting.deployment_id, deployment.INSTANCE_STATE_HEALTHY, NOW + 1))
    await eventually(lambda: restate.count("Deploy", "instances_changed", waiting.deployment_id) == 1, "notified")
    assert restate.count("Deploy", "instances_changed", other.deployment_id) == 0
    found = (
        await api.admin.deployment.GetDeployment(deployment.GetDeploymentRequest(deployment_id=waiting.deployment_id))
    ).deployment
    seen_now = [(i.instance_id, i.state, i.restarts) for i in found.instances]
    assert seen_now == [("app-0", deployment.INSTANCE_STATE_HEALTHY, 2)]
    await report(api, seen(waiting.deployment_id, deployment.INSTANCE_STATE_FAILED, NOW + 2))
    await eventually(lambda: restate.count("Deploy", "instances_changed", waiting.deployment_id) == 2, "notified again")


@pytest.mark.parametrize(
    ("resource", "settles_within_ms"), [("addresses", SETTLES_WITHIN_MS), ("capacity", CAPACITY_SETTLES_WITHIN_MS)]
)
async def test_no_room_wakes_the_deploy_only_if_nobody_gives_way(
    api: RunningApi,
    epoch: str,
    deploy: Deploy,
    restate: RecordingRestate,
    resource: str,
    settles_within_ms: int,
) -> None:
    """Promise: a deploy that can't get an address is notified at once, and one that will get a standby's is not; a
    cluster gets its time to use what was freed."""
    old, waiting = await deploy(), await deploy(branch="b")
    for made in (old, waiting):
        await api.db.write(place, made.deployment_id)
    await api.db.write(walk_to, waiting.deployment_id, Status.DEPLOYING)
    await api.db.write(make_ready, old.deployment_id)
    await api.db.write(deployments.set_run_state, old.deployment_id, RunState.STANDBY, NOW)
    await report(api, seen(old.deployment_id, deployment.INSTANCE_STATE_HEALTHY))
    crowded = seen(waiting.deployment_id, deployment.INSTANCE_STATE_STARTING)
    crowded.waits_for = resource
    await report(api, crowded)
    found = await api.db.read(shortages, NOW)
    assert [(one.waiting, len(one.standbys), one.is_exhausted) for one in found] == [(1, 1, False)]
    assert restate.count("Deploy", "instances_changed", waiting.deployment_id) == 0
    await api.db.write(deployments.set_run_state, old.deployment_id, RunState.STOPPING, NOW)
    await report(api, seen(old.deployment_id, deployment.INSTANCE_STATE_STOPPED, NOW + 1))
    settled = NOW + settles_within_ms
    assert [one.is_exhausted for one in await api.db.read(shortages, settled + 1)] == [False], "it is still stopping"
    await api.db.write(deployments.set_run_state, old.deployment_id, RunState.STOPPED, NOW)
    assert [one.is_exhausted for one in await api.db.read(shortages, settled)] == [False]
    assert [one.is_exhausted for one in await api.db.read(shortages, settled + 1)] == [True]
    crowded.observed_at, crowded.reason = NOW + 1, "no address is free"
    await report(api, crowded)
    await eventually(lambda: restate.count("Deploy", "instances_changed", waiting.deployment_id) == 1, "notified")


async def test_a_silent_region_is_not_told_as_it_was(api: RunningApi, epoch: str, deploy: Deploy) -> None:
    """Promise: who asks for the status reads since when nothing is known, and why; a report ends that."""
    made = await deploy()
    await api.db.write(place, made.deployment_id)
    await report(api, seen(made.deployment_id, deployment.INSTANCE_STATE_HEALTHY))

    async def silence() -> deployment.RegionSilence | None:
        wanted = deployment.GetDeploymentRequest(deployment_id=made.deployment_id)
        one = (await api.admin.deployment.GetDeployment(wanted)).deployment.instances[0]
        return one.silence if one.HasField("silence") else None

    assert await silence() is None
    beat = pb.HeartbeatRequest(region=REGION, instance_id="k")
    beat.engine_away = "it hangs\0" + "x" * 300
    await api.krane.cluster.Heartbeat(beat)
    found = await silence()
    assert found is not None
    assert found.reason.startswith(f"the engine of region {REGION} does not answer: it hangs")
    assert found.is_probed
    assert found.since <= now_ms()
    await api.krane.cluster.Heartbeat(pb.HeartbeatRequest(region=REGION, instance_id="k"))
    assert await silence() is None
    last = now_ms() - SILENT_AFTER_MS
    await api.db.write(regions.note_report, REGION, last)
    found = await silence()
    assert found is not None
    assert (found.since, found.reason) == (last, f"krane of region {REGION} does not report")
    await report(api, seen(made.deployment_id, deployment.INSTANCE_STATE_HEALTHY, NOW + 1))
    assert await silence() is None


async def test_nobody_gives_way_to_a_standby(api: RunningApi, epoch: str, deploy: Deploy) -> None:
    """Promise: an instance of a standby that finds no room neither ends another standby nor fails a deploy."""
    old = await deploy()
    await api.db.write(place, old.deployment_id)
    await api.db.write(make_ready, old.deployment_id)
    await api.db.write(deployments.set_run_state, old.deployment_id, RunState.STANDBY, NOW)
    crowded = seen(old.deployment_id, deployment.INSTANCE_STATE_STARTING)
    crowded.waits_for = "addresses"
    await report(api, crowded)
    assert await api.db.read(shortages, NOW) == []


async def test_healthy_wakes_the_switch_that_waits(
    api: RunningApi, epoch: str, deploy: Deploy, restate: RecordingRestate
) -> None:
    """Promise: a promote that waits for a cold deployment is notified, too; and of applied routes."""
    live, cold = await deploy(), await deploy(branch="b")
    await api.db.write(make_ready, live.deployment_id, hostname="hello.sealift.localhost")
    await api.db.write(make_ready, cold.deployment_id)
    operation = (
        await api.admin.deployment.Promote(deployment.PromoteRequest(deployment_id=cold.deployment_id))
    ).operation
    await api.db.write(place, cold.deployment_id)
    await report(api, seen(cold.deployment_id, deployment.INSTANCE_STATE_HEALTHY))
    await eventually(lambda: restate.count("Switch", "instances_changed", operation.operation_id) == 1, "notified")
    version = (await api.db.read(desired.head)).version
    await api.krane.cluster.ReportApplied(pb.ReportAppliedRequest(region=REGION, epoch=epoch, version=version))
    await eventually(lambda: restate.count("Switch", "applied", operation.operation_id) == 1, "notified")


async def test_a_stop_is_told_of_its_end_and_of_nothing_else(
    api: RunningApi, epoch: str, deploy: Deploy, restate: RecordingRestate
) -> None:
    """Promise: an operation that waits for instances to stop is notified then, and not of every applied route."""
    live, idle = await deploy(), await deploy(branch="b")
    await api.db.write(make_ready, live.deployment_id, hostname="hello.sealift.localhost")
    await api.db.write(make_ready, idle.deployment_id)
    await api.db.write(place, idle.deployment_id)
    await report(api, seen(idle.deployment_id, deployment.INSTANCE_STATE_HEALTHY))
    await api.admin.deployment.StopDeployment(deployment.StopDeploymentRequest(deployment_id=idle.deployment_id))
    operation_id = await api.db.read(lambda c: operations.in_flight(c)[0].id)
    await report(api, seen(idle.deployment_id, deployment.INSTANCE_STATE_UNHEALTHY, NOW + 1))
    version = (await api.db.read(desired.head)).version
    await api.krane.cluster.ReportApplied(pb.ReportAppliedRequest(region=REGION, epoch=epoch, version=version))
    await report(api, seen(idle.deployment_id, deployment.INSTANCE_STATE_STOPPED, NOW + 2))
    await eventually(lambda: restate.count("Switch", "instances_changed", operation_id) == 1, "notified")
    assert restate.count("Switch", "applied", operation_id) == 0


async def test_applied_wakes_the_deploy_in_network(
    api: RunningApi, epoch: str, deploy: Deploy, restate: RecordingRestate
) -> None:
    """Promise: deploys in network are notified of applied; it never decreases; refusals are kept until they end."""
    made = await deploy()
    await api.db.write(make_ready, made.deployment_id, hostname="hello.sealift.localhost")
    moving = await deploy(branch="b")
    await api.db.write(walk_to, moving.deployment_id, Status.DEPLOYING, Status.NETWORK)
    await api.db.write(place, made.deployment_id)
    nack = pb.Nack(version=1, hostname="hello.sealift.localhost", message="no such cluster")

    async def applied(version: int, *nacks: pb.Nack) -> None:
        await api.krane.cluster.ReportApplied(
            pb.ReportAppliedRequest(region=REGION, epoch=epoch, version=version, nacks=nacks)
        )

    async def state() -> tuple[int, list[str]]:
        region = await api.db.read(regions.get, REGION)
        assert region is not None
        rows = await api.db.read(lambda c: [r.message for r in c.execute(select(replica_nacks))])
        return region.applied_version, rows

    await applied(2, nack)
    assert await state() == (2, ["no such cluster"])
    await applied(1)
    assert await state() == (2, [])
    await eventually(lambda: restate.count("Deploy", "applied", moving.deployment_id) == 2, "notified")
    assert restate.count("Deploy", "applied", made.deployment_id) == 0
    info = await api.admin.ctrl.GetServerInfo(ctrl_pb2.GetServerInfoRequest())
    assert [(r.name, r.applied_version) for r in info.regions] == [(REGION, 2)]
    assert info.instance_id == "inst-test"
    for request, code in (
        (pb.ReportAppliedRequest(region=REGION, epoch="old", version=1), "region.epoch_mismatch"),
        (pb.ReportAppliedRequest(region=REGION, epoch=epoch, version=99), "invalid_argument"),
    ):
        with pytest.raises(aio.AioRpcError) as caught:
            await api.krane.cluster.ReportApplied(request)
        assert refused(caught.value)[1] == code


async def test_a_clock_that_was_set_back_is_believed(api: RunningApi, epoch: str, deploy: Deploy) -> None:
    """Promise: reports from a clock that ran an hour ahead do not stand for an hour once it is right again."""
    made, hour = await deploy(), 3_600_000
    await report(api, seen(made.deployment_id, deployment.INSTANCE_STATE_HEALTHY, now_ms() + hour))
    await report(api, seen(made.deployment_id, deployment.INSTANCE_STATE_HEALTHY, now_ms() + hour, replica=1))
    await report(api, seen(made.deployment_id, deployment.INSTANCE_STATE_FAILED, now_ms()))
    assert [r.state for r in await api.db.read(regions.instances_of, made.deployment_id)] == ["failed", "healthy"]
    await report(api, seen(made.deployment_id, deployment.INSTANCE_STATE_FAILED, now_ms()), complete=True)
    assert [r.replica for r in await api.db.read(regions.instances_of, made.deployment_id)] == [0]


async def test_a_refusal_without_a_hostname_is_taken(api: RunningApi, epoch: str, deploy: Deploy) -> None:
    """Promise: what an ingress refuses as a whole is a report like any other; a refused report would come for ever."""
    made = await deploy()
    await api.db.write(make_ready, made.deployment_id, hostname="hello.sealift.localhost")
    nacks = [pb.Nack(version=2**64 - 1, message="Listener: \0 in use"), pb.Nack(version=1, hostname="h" * 300)]
    request = pb.ReportAppliedRequest(region=REGION, epoch=epoch, version=1, nacks=nacks)
    await api.krane.cluster.ReportApplied(request)
    rows = await api.db.read(lambda c: [(r.hostname, r.version, r.message) for r in c.execute(select(replica_nacks))])
    assert sorted(rows) == [("", 1, "Listener:  in use"), ("h" * 253, 1, "")]


async def test_reports_are_ordered_bounded_and_complete(api: RunningApi, epoch: str, deploy: Deploy) -> None:
    """Promise: an older report changes nothing, texts are cut, strangers ignored, a complete one forgets the rest."""
    made = await deploy()
    ready = deployment.INSTANCE_STATE_HEALTHY
    gone = seen(made.deployment_id, ready, replica=1)
    stranger = seen("dep_" + "0" * 26, ready)
    await report(api, seen(made.deployment_id, ready), gone, stranger)
    await report(api, seen(made.deployment_id, deployment.INSTANCE_STATE_STARTING, NOW - 1))
    rows = await api.db.read(regions.instances_of, made.deployment_id)
    assert [(r.replica, r.state) for r in rows] == [(0, "healthy"), (1, "healthy")]
    assert rows[0].reason == "it said  goodbye"
    assert rows[0].log_tail_json == [f"line {n}" for n in range(10, 110)]
    assert rows[0].exit_code == 0
    assert await api.db.read(regions.instances_of, stranger.deployment_id) == []
    fresh = seen(made.deployment_id, ready, now_ms())
    await report(api, fresh, complete=True)
    rows = await api.db.read(regions.instances_of, made.deployment_id)
    assert [r.replica for r in rows] == [0]


@pytest.mark.parametrize(
    ("instance", "field"),
    [
        (pb.InstanceReport(deployment_id="x", instance_id="i"), "instances[0].deployment_id"),
        (pb.InstanceReport(deployment_id="dep_" + "0" * 26, instance_id="i"), "instances[0].state"),
        (seen("dep_" + "0" * 26, deployment.INSTANCE_STATE_FAILED, name=""), "instances[0].instance_id"),
    ],
)
async def test_broken_reports_name_the_field(
    api: RunningApi, epoch: str, instance: pb.InstanceReport, field: str
) -> None:
    """Promise: a report that makes no sense is refused, naming the field."""
    with pytest.raises(aio.AioRpcError) as caught:
        await report(api, instance)
    status, _, named, _ = refused(caught.value)
    assert (status, named) == (grpc.StatusCode.INVALID_ARGUMENT, field)
