"""Promise: of several kranes of a region, each is told whether it counts, and only the leader is believed."""

import grpc
import pytest
from grpc import aio
from sqlalchemy import Connection, update

from pkg.clock import now_ms
from pkg.deployments.status import Status
from pkg.feed import queries as desired
from pkg.regions import krane_replicas
from pkg.regions import queries as regions
from pkg.regions.tables import krane_replicas as table
from pkg.regions.votes import CONTACT_TIMEOUT_S, SHARED_HEARTBEAT_INTERVAL_S, VOTE_EXPIRES_MS
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2 as deployment
from svc.api.cluster_testing import NOW, place, seen
from svc.api.conftest import Deploy
from svc.api.deployment_testing import make_ready, walk_to
from svc.api.testing import REGION, RecordingRestate, RunningApi, eventually, refused

HEALTHY = deployment.INSTANCE_STATE_HEALTHY
FAILED = deployment.INSTANCE_STATE_FAILED


async def join(api: RunningApi, replica_id: str) -> str:
    """Registers a replica; the epoch."""
    answer = await api.krane.cluster.Register(
        pb.RegisterRequest(
            region=REGION, instance_id=f"inst_{replica_id}", version="1", runtime="docker", replica_id=replica_id,
            is_shared=True,
        )
    )  # fmt: skip
    assert (answer.heartbeat_interval_s, answer.contact_timeout_s) == (SHARED_HEARTBEAT_INTERVAL_S, CONTACT_TIMEOUT_S)
    return str(answer.epoch)


async def applied(api: RunningApi, epoch: str, replica_id: str, still_served: list[str] | None = None) -> bool:
    """Reports the newest version as applied; whether the replica is counted."""
    version = (await api.db.read(desired.head)).version
    request = pb.ReportAppliedRequest(
        region=REGION, epoch=epoch, version=version, replica_id=replica_id, still_served=still_served or []
    )
    return bool((await api.krane.cluster.ReportApplied(request)).is_counted)


async def beat(api: RunningApi, replica_id: str, **values: object) -> pb.HeartbeatResponse:
    request = pb.HeartbeatRequest(region=REGION, instance_id=f"inst_{replica_id}", replica_id=replica_id, **values)  # type: ignore[arg-type]
    answer: pb.HeartbeatResponse = await api.krane.cluster.Heartbeat(request)
    return answer


async def report(api: RunningApi, term: int, *instances: pb.InstanceReport) -> None:
    await api.krane.cluster.ReportInstances(
        pb.ReportInstancesRequest(region=REGION, instances=instances, leader_term=term)
    )


async def test_a_replica_that_leaves_is_not_waited_for(
    api: RunningApi, deploy: Deploy, restate: RecordingRestate
) -> None:
    """Promise: who waits for the region is woken at once; leaving twice is refused like an unknown replica."""
    epoch = await join(api, "a")
    await join(api, "b")
    assert await applied(api, epoch, "a")
    assert await applied(api, epoch, "b")
    moving = await deploy()
    await api.db.write(walk_to, moving.deployment_id, Status.DEPLOYING, Status.NETWORK)
    await api.db.write(place, moving.deployment_id)
    await applied(api, epoch, "a")
    version = (await api.db.read(desired.head)).version
    assert await api.db.read(regions.behind, [REGION], version) == [REGION]
    notified = restate.count("Deploy", "applied", moving.deployment_id)
    assert not (await beat(api, "b", is_leaving=True)).is_counted
    assert await api.db.read(regions.behind, [REGION], version) == []
    await eventually(lambda: restate.count("Deploy", "applied", moving.deployment_id) > notified, "notified")
    with pytest.raises(aio.AioRpcError) as caught:
        await beat(api, "b", is_leaving=True)
    assert refused(caught.value)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "region.not_registered")


async def test_a_silent_replica_is_not_waited_for_any_more(
    api: RunningApi, deploy: Deploy, restate: RecordingRestate
) -> None:
    """Promise: its vote ends with a heartbeat of another one, which wakes who waits; then it has to catch up."""
    epoch = await join(api, "a")
    await join(api, "b")
    assert await applied(api, epoch, "a")
    assert await applied(api, epoch, "b")
    moving = await deploy()
    await api.db.write(walk_to, moving.deployment_id, Status.DEPLOYING, Status.NETWORK)
    await api.db.write(place, moving.deployment_id)
    await applied(api, epoch, "a")
    version = (await api.db.read(desired.head)).version
    assert await api.db.read(regions.behind, [REGION], version) == [REGION]

    def as_if_time_had_passed(connection: Connection) -> None:
        long_ago = now_ms() - VOTE_EXPIRES_MS
        connection.execute(update(table).where(table.c.replica_id == "b").values(last_contact_at=long_ago))
        connection.execute(update(table).where(table.c.replica_id == "a").values(announced_since=long_ago))

    await api.db.write(as_if_time_had_passed)
    notified = restate.count("Deploy", "applied", moving.deployment_id)
    assert (await beat(api, "a", is_announced=True)).is_counted
    assert await api.db.read(regions.behind, [REGION], version) == []
    await eventually(lambda: restate.count("Deploy", "applied", moving.deployment_id) > notified, "notified")
    assert not (await beat(api, "b")).is_counted
    assert await applied(api, epoch, "b")
    assert (await beat(api, "b")).is_counted


async def test_a_replica_that_nobody_knows_registers_again(api: RunningApi) -> None:
    """Promise: one that was forgotten is told so by its next call, whichever that is."""
    epoch = await join(api, "a")
    for call in (beat(api, "x"), applied(api, epoch, "x")):
        with pytest.raises(aio.AioRpcError) as caught:
            await call
        assert refused(caught.value)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "region.not_registered")


async def test_reports_of_a_replaced_leader_are_refused(api: RunningApi, deploy: Deploy) -> None:
    """Promise: the newer leader is believed at once, though its clock is behind; the old one is refused."""
    await join(api, "a")
    await join(api, "b")
    made = await deploy()
    await report(api, 4, seen(made.deployment_id, HEALTHY, NOW + 30_000))
    await report(api, 5, seen(made.deployment_id, FAILED, NOW))
    with pytest.raises(aio.AioRpcError) as caught:
        await report(api, 4, seen(made.deployment_id, HEALTHY, NOW + 60_000))
    assert refused(caught.value)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "region.not_leading")
    assert [one.state for one in await api.db.read(regions.instances_of, made.deployment_id)] == ["failed"]
    assert (await beat(api, "b")).leader_term == 5


async def test_a_follower_says_nothing_of_the_engine(api: RunningApi) -> None:
    """Promise: what the leader says of its cluster stands, whatever order the heartbeats come in."""
    await join(api, "a")
    await join(api, "b")
    await beat(api, "a", engine_away="it hangs")
    await beat(api, "b", is_follower=True)
    found = await api.db.read(regions.get, REGION)
    assert found is not None
    assert (found.engine_away, found.krane_instance_id) == ("it hangs", "inst_a")


async def test_instances_may_go_once_every_ingress_has_left_them(api: RunningApi, deploy: Deploy) -> None:
    """Promise: not while a route leads there, nor while it is to run, nor while one counted Envoy may send requests."""
    epoch = await join(api, "a")
    await join(api, "b")
    made, other = await deploy(), await deploy(branch="b")
    dep = made.deployment_id
    await api.db.write(place, dep)
    for replica_id in ("a", "b"):
        await applied(api, epoch, replica_id)

    async def released() -> list[str]:
        version = (await api.db.read(desired.head)).version
        request = pb.ListReleasedRequest(region=REGION, version=version, deployment_ids=[dep, other.deployment_id])
        return list((await api.krane.cluster.ListReleased(request)).released)

    assert await released() == [other.deployment_id], "it is to run"
    await api.db.write(regions.stop, dep, NOW)
    await applied(api, epoch, "a")
    assert await released() == [], "b has not seen it yet"
    await applied(api, epoch, "b", [dep])
    assert await released() == [other.deployment_id]
    await applied(api, epoch, "b")
    assert await released() == sorted([dep, other.deployment_id])
    await api.db.write(make_ready, dep, hostname="hello.sealift.localhost")
    for replica_id in ("a", "b"):
        await applied(api, epoch, replica_id)
    assert await released() == [other.deployment_id], "a route leads there"
    wrong = pb.ListReleasedRequest(region=REGION, deployment_ids=["x"])
    with pytest.raises(aio.AioRpcError) as caught:
        await api.krane.cluster.ListReleased(wrong)
    assert refused(caught.value)[2] == "deployment_ids[0]"
    await api.db.write(lambda c: krane_replicas.register(
        c, region=REGION, replica_id="alone", krane_instance_id="k", is_shared=False, capabilities=(), now=NOW
    ))  # fmt: skip
    assert len(await api.db.read(krane_replicas.of_region, REGION)) == 1
