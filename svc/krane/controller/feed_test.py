"""Following the feed, over a real channel."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pkg.observability.metrics import Metrics
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.api import ClusterApi
from svc.krane.controller.desired import Change, DesiredState
from svc.krane.controller.feed import Feed
from svc.krane.metrics import KraneMetrics
from svc.krane.testing.cluster import KEY, FakeCluster
from svc.krane.testing.routes import routes_to


class Follower:
    """A feed that runs, and what it told."""

    def __init__(self, cluster: FakeCluster, silence_s: float = 5) -> None:
        self.desired = DesiredState()
        self.changes: asyncio.Queue[Change] = asyncio.Queue()
        self.api = ClusterApi(cluster.address, KEY)
        metrics = KraneMetrics(Metrics("krane", "inst_test"), "local")
        self.feed = Feed(self.api, "local", self.desired, self.changes.put_nowait, metrics, silence_s)

    async def until_version(self, version: int) -> Change:
        async with asyncio.timeout(WAIT_S):
            while True:
                change = await self.changes.get()
                if change.version >= version:
                    return change


@asynccontextmanager
async def following(cluster: FakeCluster, silence_s: float = 5) -> AsyncIterator[Follower]:
    follower = Follower(cluster, silence_s)
    task = asyncio.create_task(follower.feed.run())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await follower.api.close()


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    cluster = FakeCluster("inst_1")
    await cluster.start()
    yield cluster
    await cluster.stop()


async def test_snapshot_then_changes(cluster: FakeCluster) -> None:
    # Promise: the whole first, then every change as it comes.
    await cluster.put(pb.Topology(deployment_id="dep_a"))
    async with following(cluster) as follower:
        change = await follower.until_version(2)
        assert change.snapshot
        await cluster.route("a.x", "dep_a")
        await follower.until_version(3)
        assert follower.desired.routes() == routes_to({"a.x": "dep_a"})
        assert follower.desired.is_confirmed


async def test_a_break_costs_nothing(cluster: FakeCluster) -> None:
    # Promise: after the api was away krane asks from its cursor and misses no change.
    async with following(cluster) as follower:
        await cluster.put(pb.Topology(deployment_id="dep_a"))
        await follower.until_version(2)
        await cluster.stop()
        await cluster.put(pb.Topology(deployment_id="dep_b"))
        await cluster.start()
        await follower.until_version(3)
        assert follower.desired.deployment_ids() == {"dep_a", "dep_b"}
        assert cluster.watches[-1].after_version == 2
        assert cluster.watches[-1].epoch == "e1"


async def test_another_epoch_brings_everything_again(cluster: FakeCluster) -> None:
    # Promise: after a restore, whose versions begin again, the state is the api's and not a mix.
    async with following(cluster) as follower:
        await cluster.put(pb.Topology(deployment_id="dep_a"))
        await follower.until_version(2)
        await cluster.stop()
        cluster.epoch, cluster.version, cluster.changes = "e2", 1, []
        cluster.topologies = {"dep_c": pb.Topology(deployment_id="dep_c")}
        await cluster.start()
        async with asyncio.timeout(WAIT_S):
            while follower.desired.epoch != "e2":
                await follower.changes.get()
        assert follower.desired.deployment_ids() == {"dep_c"}
        assert follower.desired.version == 1


async def test_a_silent_feed_is_asked_again(cluster: FakeCluster) -> None:
    # Promise: a dead connection that nobody closed does not leave the region behind.
    async with following(cluster, silence_s=0.2):
        await cluster.until(lambda: len(cluster.watches) >= 3, 10)
    assert {watch.after_version for watch in cluster.watches[1:]} == {1}


async def test_a_broken_rule_means_asking_for_all(cluster: FakeCluster) -> None:
    # Promise: krane never guesses; it asks for a snapshot.
    async with following(cluster) as follower:
        await follower.until_version(1)
        cluster.version += 1
        cluster.changes.append(pb.WatchDesiredStateResponse(version=cluster.version))
        await cluster.put(pb.Topology(deployment_id="dep_a"))
        await cluster.until(lambda: len(cluster.watches) >= 2)
        await follower.until_version(3)
        assert cluster.watches[1].after_version == 0
        assert follower.desired.deployment_ids() == {"dep_a"}
