"""The feed of another time: a newer api's messages at this krane, and this krane at an older api."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message as AnyMessage

from pkg.desired.capabilities import BASELINE
from pkg.feed.testing import as_old_program, of_the_future, unknown_change
from pkg.observability.metrics import Metrics
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.api import ClusterApi
from svc.krane.controller.contact import Contact
from svc.krane.controller.desired import DesiredState
from svc.krane.controller.feed import Feed
from svc.krane.controller.kinds import CAPABILITIES, KINDS, ROUTE, TOPOLOGY, Kind
from svc.krane.controller.registration import Registration
from svc.krane.controller.snapshot import SnapshotFile
from svc.krane.metrics import KraneMetrics
from svc.krane.testing.cluster import KEY, FakeCluster
from svc.krane.testing.feed import Message, begin, end, head, route, state_of, topology
from svc.krane.testing.routes import routes_to

# A throw-away kind, with its line in a registry.
VOLUME = Kind("feed.volume/1", "volume", "volume_removed", "hostname")
WITH_VOLUMES = (*KINDS, VOLUME)


def needing(message: Message, *capabilities: str) -> Message:
    message.required_capabilities.extend(capabilities)
    return message


def test_a_new_kind_is_one_value_and_one_line() -> None:
    """Promise: items of a registered kind come, change, go and are stored without a word about it anywhere else."""
    state: Any = DesiredState(WITH_VOLUMES)
    assert state.capabilities == CAPABILITIES | {"feed.volume/1"}
    for message in (begin(), topology("dep_a"), of_the_future(version=1, volume={"hostname": "a.x"}), end()):
        change = state.apply(message)
    assert change.items[VOLUME] == {"a.x"}
    assert state.items(VOLUME).keys() == {"a.x"}
    again: Any = DesiredState(WITH_VOLUMES)
    for message in state.messages():
        again.apply(message)
    assert again.items(VOLUME) == state.items(VOLUME)
    change = state.apply(of_the_future(version=2, volume_removed={"hostname": "a.x"}))
    assert change.items == {VOLUME: {"a.x"}}
    assert state.items(VOLUME) == {}
    assert state.deployment_ids() == {"dep_a"}


def test_an_unknown_kind_is_skipped_and_reported() -> None:
    """Promise: what a later api sends beside routes and topologies costs these nothing, and never counts as applied."""
    state = state_of(begin(), topology("dep_a"), unknown_change("a.x", 1), end())
    assert state.unsupported_versions() == [], "the version of a snapshot's item may be another change's"
    change = state.apply(unknown_change("b.x", 2))
    assert change is not None
    assert (change.items, change.routes, state.version) == ({}, False, 2)
    state.apply(route("c.x", "dep_a", 3))
    state.apply(head(3))
    assert (state.routes(), state.unsupported_versions()) == (routes_to({"c.x": "dep_a"}), [2])
    assert "1000" in state.unsupported(unknown_change("b.x"))


def test_a_route_that_takes_more_than_krane_can_is_left_as_it_was() -> None:
    """Promise: no request is served without a policy that its route has."""
    state = state_of(begin(), topology("dep_a"), route("a.x", "dep_a"), end())
    state.apply(needing(route("a.x", "dep_b", 2), "route.policy/1"))
    state.apply(needing(route("new.x", "dep_b", 3), "route.policy/1"))
    assert state.routes() == routes_to({"a.x": "dep_a"})
    assert state.unsupported_versions() == [2, 3]
    assert state.unsupported_routes().keys() == {"a.x", "new.x"}
    assert "route.policy/1" in state.unsupported_routes()["a.x"]
    assert state.route_version("a.x") == 2
    for message in (begin("e1", 9), needing(route("a.x", "dep_b", 9), "route.policy/1"), end(9)):
        state.apply(message)
    assert state.routes() == routes_to({"a.x": "dep_a"}), "a snapshot forgets what is not in it; this is in it"
    state.apply(route("a.x", "dep_c", 10))
    assert (state.routes(), state.unsupported_routes()) == (routes_to({"a.x": "dep_c"}), {})
    state.apply(needing(route("a.x", "dep_b", 11), "route.policy/1"))
    state.apply(Message(version=12, route_removed=pb.RouteRemoved(hostname="a.x")))
    assert (state.routes(), state.unsupported_routes()) == ({}, {})


def test_a_krane_that_can_what_the_last_one_could_not_does_it(tmp_path: Path) -> None:
    """Promise: after an upgrade the stored route is served as asked, and what was skipped is asked for."""
    file = SnapshotFile(tmp_path, b"key", "local")
    state = state_of(begin(), topology("dep_a"), route("a.x", "dep_a"), end())
    state.apply(needing(route("a.x", "dep_b", 2), "route.policy/1"))
    state.apply(unknown_change("b.x", 3))
    file.sealed.store(file.sealed.encode(file.frames(state, "inst_1")))
    same, upgraded = DesiredState(), DesiredState(capabilities=CAPABILITIES | {"route.policy/1"})
    for one in (same, upgraded):
        assert file.load(one) == "inst_1"
    assert (same.routes(), same.unsupported_versions(), same.is_partial) == (routes_to({"a.x": "dep_a"}), [2, 3], False)
    assert (upgraded.routes(), upgraded.is_partial) == (routes_to({"a.x": "dep_b"}), True)
    for message in (begin("e1", 4), route("a.x", "dep_b", 4), end(4)):
        upgraded.apply(message)
    assert (upgraded.is_partial, upgraded.unsupported_versions()) == (False, [])


class OldCluster(FakeCluster):
    """An api from before capabilities: it neither reads nor writes what it does not know."""

    async def Register(self, request: pb.RegisterRequest, context: Any) -> pb.RegisterResponse:  # noqa: N802
        """See cluster.proto."""
        return as_old_program(await super().Register(as_old_program(request), context))

    async def ReportApplied(self, request: pb.ReportAppliedRequest, context: Any) -> pb.ReportAppliedResponse:  # noqa: N802
        """See cluster.proto."""
        return await super().ReportApplied(as_old_program(request), context)

    async def WatchDesiredState(  # noqa: N802
        self, request: pb.WatchDesiredStateRequest, context: Any
    ) -> AsyncIterator[pb.WatchDesiredStateResponse]:
        """See cluster.proto."""
        async for message in super().WatchDesiredState(as_old_program(request), context):
            yield as_old_program(message)


@pytest.mark.parametrize("kind", [OldCluster, FakeCluster])
async def test_krane_follows_an_api_of_any_time(kind: type[FakeCluster]) -> None:
    """Promise: a krane that is newer than its api does all that the api asks; one that is older does what it can."""
    cluster = kind("inst_1")
    await cluster.start()
    api = ClusterApi(cluster.address, KEY)
    desired, heads = DesiredState(), asyncio.Queue[int]()
    metrics = Metrics("krane", "inst_test")
    feed = Feed(api, "local", desired, lambda change: heads.put_nowait(change.version), KraneMetrics(metrics, "local"))
    task = asyncio.create_task(feed.run())
    try:
        async with asyncio.timeout(WAIT_S):
            await heads.get()
        await Registration(Contact(api, "krane_k", is_shared=False), "local", "inst_k", "docker").register()
        told = cluster.registrations[-1]
        assert (told.region, told.instance_id, told.runtime) == ("local", "inst_k", "docker")
        assert set(told.capabilities) == (set() if kind is OldCluster else CAPABILITIES)
        assert (told.capacity.cpus > 0) is (kind is FakeCluster)
        await cluster.put(pb.Topology(deployment_id="dep_a"))
        if kind is FakeCluster:
            await cluster.change(unknown_change("a.x"))
            await cluster.change(unknown_change("b.x"))
        version = await cluster.route("a.x", "dep_a")
        async with asyncio.timeout(WAIT_S):
            while await heads.get() < version:
                pass
        assert desired.deployment_ids() == {"dep_a"}
        assert desired.routes() == routes_to({"a.x": "dep_a"})
        if kind is FakeCluster:
            assert desired.unsupported_versions() == [3, 4]
            counted = metrics.registry.get_sample_value("sealift_feed_unsupported_total", {"what": "event 1000"})
            assert counted == 2
        assert len(cluster.watches) == 1
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await api.close()
        await cluster.stop()


def test_the_kinds_of_before_are_the_baseline() -> None:
    """Promise: a krane from before capabilities is known to have these kinds, and stays understood."""
    assert {TOPOLOGY.capability, ROUTE.capability} == BASELINE
    assert isinstance(as_old_program(route("a.x", "dep_a")), AnyMessage)
    assert as_old_program(route("a.x", "dep_a")) == route("a.x", "dep_a")


async def test_a_key_that_the_api_does_not_know_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """Promise: krane's log names the key file as the cause, and what makes the api know a key that was made again."""
    cluster = FakeCluster("inst_1")
    await cluster.start()
    api = ClusterApi(cluster.address, "slk_another")
    task = asyncio.create_task(
        Registration(Contact(api, "krane_k", is_shared=False), "local", "inst_k", "docker").register()
    )
    try:
        async with asyncio.timeout(WAIT_S):
            while "key_file" not in caplog.text:  # noqa: ASYNC110 - a log line raises no event
                await asyncio.sleep(0.01)
        assert "reads the keys of its [[bootstrap_keys]] when it starts" in caplog.text
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await api.close()
        await cluster.stop()
