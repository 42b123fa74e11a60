"""The feed of another time: a krane from before capabilities, and kinds of change that come later."""

import asyncio
from collections.abc import Iterator, Sequence

import grpc
import pytest
from grpc import aio
from sqlalchemy import Connection

from pkg.clock import now_ms
from pkg.config.sections import Ingress
from pkg.desired.capabilities import BASELINE, ROUTE, TOPOLOGY, ChangeKind
from pkg.desired.route import AnswerTarget, DeploymentTarget, Route
from pkg.errors import Internal
from pkg.feed import queries as desired
from pkg.feed.testing import as_old_program, unknown_change
from pkg.hostnames import Sticky
from pkg.regions import queries as regions
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import common_pb2, deployment_pb2
from svc.api.cluster_testing import kinds, place, register, until_head, watch
from svc.api.conftest import Deploy
from svc.api.deployment_testing import make_ready
from svc.api.feed.producer import Producer, Rendering
from svc.api.feed.producers import PRODUCERS, Topologies, render_route
from svc.api.feed.reader import Watcher, next_batch
from svc.api.feed.stream import stream
from svc.api.testing import REGION, RunningApi, refused

VOLUME = ChangeKind("volume", "feed.volume/1")  # a throw-away kind


class Volumes:
    """Its producer: there is one, of a.x."""

    kind = VOLUME

    def snapshot(self, connection: Connection, region: str) -> Iterator[pb.WatchDesiredStateResponse]:
        """See `Producer`."""
        yield unknown_change("a.x")

    def current(self, connection: Connection, region: str, key: str) -> pb.WatchDesiredStateResponse:
        """See `Producer`."""
        return unknown_change(key)


class Stopped(Volumes):
    """Routes of stopped apps."""

    kind = ROUTE

    def snapshot(self, connection: Connection, region: str) -> Iterator[pb.WatchDesiredStateResponse]:
        """See `Producer`."""
        yield self.current(connection, region, "a.x")

    def current(self, connection: Connection, region: str, key: str) -> pb.WatchDesiredStateResponse:
        """See `Producer`."""
        return render_route(Route.answering(key, "stopped"), Sticky.LIVE)


class Strict(Volumes):
    """Routes that take a policy."""

    kind = ROUTE

    def snapshot(self, connection: Connection, region: str) -> Iterator[pb.WatchDesiredStateResponse]:
        """See `Producer`."""
        yield self.current(connection, region, "a.x")

    def current(self, connection: Connection, region: str, key: str) -> pb.WatchDesiredStateResponse:
        """See `Producer`."""
        route = pb.DesiredRoute(hostname=key, deployment_id="dep_a")
        return pb.WatchDesiredStateResponse(route=route, required_capabilities=["route.policy/1"])


def registry(api: RunningApi, *more: Producer) -> list[Producer]:
    """The producers of the registry, and more lines."""
    return [*(make(Rendering(api.vault, Ingress())) for make in PRODUCERS), *more]


async def first(
    api: RunningApi, producers: Sequence[Producer], *capabilities: str
) -> list[pb.WatchDesiredStateResponse]:
    """What a krane with these capabilities gets up to the first head."""
    messages = stream(api.db, producers, Watcher(REGION, capabilities), epoch="", after_version=0)
    found: list[pb.WatchDesiredStateResponse] = []
    async with asyncio.timeout(WAIT_S):
        async for message in messages:
            found.append(message)
            if message.HasField("head"):
                break
    await messages.aclose()
    return found


async def test_a_new_kind_is_a_producer_and_one_line(api: RunningApi, deploy: Deploy) -> None:
    """Promise: with its producer in the registry, a kind comes in snapshots and as changes, in the feed's one order."""
    epoch = await register(api)
    made = await deploy()
    producers = registry(api, Volumes())
    messages = await first(api, producers, *BASELINE, VOLUME.capability)
    assert [as_old_program(message).WhichOneof("event") for message in messages] == [
        "snapshot_begin",
        None,
        "snapshot_end",
        "head",
    ]
    start = messages[-1].version
    await api.db.write(desired.record, VOLUME, "b.x", now_ms())
    await api.db.write(place, made.deployment_id)
    batch = await api.db.read(next_batch, producers, Watcher(REGION, {"feed.topology/1"}), epoch, start)
    assert batch.messages[0] == unknown_change("b.x", start + 1)
    assert [message.version for message in batch.messages] == [start + 1, start + 2]


async def test_a_krane_from_before_gets_only_what_it_understands(api: RunningApi, deploy: Deploy) -> None:
    """Promise: a later kind does not break an old krane, and no old krane serves a route without its policy."""
    epoch = await register(api)
    messages = await first(api, [Volumes(), Strict()])
    assert kinds(messages) == ["snapshot_begin", "snapshot_end", "head"]
    start = messages[-1].version
    for kind, key in ((VOLUME, "b.x"), (ROUTE, "a.x")):
        await api.db.write(desired.record, kind, key, now_ms())
    batch = await api.db.read(next_batch, [Volumes(), Strict()], Watcher(REGION), epoch, start)
    assert (batch.messages, batch.version) == ((), start + 2)
    newer = await api.db.read(next_batch, [Volumes(), Strict()], Watcher(REGION, BASELINE), epoch, start)
    assert [list(message.required_capabilities) for message in newer.messages] == [[], ["route.policy/1"]]


@pytest.mark.parametrize("capabilities", [(), tuple(BASELINE)])
async def test_a_krane_that_knows_no_answers_gets_the_route_removed(
    api: RunningApi, deploy: Deploy, capabilities: tuple[str, ...]
) -> None:
    """Promise: it does not go on leading to what is stopped; one that knows answers gets the route as it is."""
    epoch = await register(api)
    messages = await first(api, [Stopped()], *capabilities)
    assert kinds(messages) == ["snapshot_begin", "snapshot_end", "head"]
    start = messages[-1].version
    await api.db.write(desired.record, ROUTE, "a.x", now_ms())
    removed = (await api.db.read(next_batch, [Stopped()], Watcher(REGION, capabilities), epoch, start)).messages
    assert [(one.version, one.route_removed.hostname) for one in removed] == [(start + 1, "a.x")]
    assert as_old_program(removed[0]) == removed[0]
    newer = Watcher(REGION, {*BASELINE, "route.answers/1"})
    sent = (await api.db.read(next_batch, [Stopped()], newer, epoch, start)).messages
    assert [(one.version, one.route.targets[0].answer) for one in sent] == [(start + 1, "stopped")]
    assert "route" in kinds(await first(api, [Stopped()], *newer.capabilities))


async def test_a_krane_from_before_is_served_as_ever(api: RunningApi, deploy: Deploy) -> None:
    """Promise: over a real channel, what an old krane says and reads is what it was before capabilities."""
    made = await deploy()
    request = pb.RegisterRequest(region=REGION, instance_id="k", runtime="docker", capabilities=["feed.future/9"])
    epoch = (await api.krane.cluster.Register(as_old_program(request))).epoch
    row = await api.db.read(regions.get, REGION)
    assert row is not None
    assert (row.capabilities_json, row.capabilities) == ([], BASELINE)
    await api.db.write(place, made.deployment_id)
    await api.db.write(make_ready, made.deployment_id, hostname="hello.sealift.localhost")
    messages = [as_old_program(message) for message in await until_head(watch(api))]
    assert kinds(messages) == ["snapshot_begin", "topology", "route", "snapshot_end", "head"]
    assert messages[1].topology.deployment_id == messages[2].route.deployment_id == made.deployment_id
    version = messages[-1].version
    report = pb.ReportAppliedRequest(region=REGION, epoch=epoch, version=version, unsupported_versions=[version])
    await api.krane.cluster.ReportApplied(as_old_program(report))
    row = await api.db.read(regions.get, REGION)
    assert row is not None
    assert (row.applied_version, row.unsupported_json) == (version, [])


def test_an_ordinary_route_is_told_as_ever_and_any_other_says_what_it_takes() -> None:
    """Promise: no krane receives less of a route than it needs, nor more than it understands."""
    ordinary = render_route(Route.to("a.x", "dep_a"), Sticky.LIVE)
    assert as_old_program(ordinary) == ordinary
    assert list(ordinary.required_capabilities) == []
    targets = (DeploymentTarget("dep_a", 90), AnswerTarget("stopped", 10))
    other = render_route(Route("a.x", targets), Sticky.LIVE)
    assert [(t.deployment_id, t.answer, t.weight) for t in other.route.targets] == [
        ("dep_a", "", 90),
        ("", "stopped", 10),
    ]
    assert (other.route.deployment_id, list(other.required_capabilities)) == (
        "",
        ["route.answers/1", "route.weights/1"],
    )


async def test_a_kind_that_this_api_does_not_know_is_never_passed_over(api: RunningApi) -> None:
    """Promise: a change recorded by a later program stops the feed with a reason, and is not lost."""
    epoch = await register(api)
    await api.db.write(desired.record, VOLUME, "b.x", now_ms())
    with pytest.raises(Internal, match="'volume'"):
        await api.db.read(next_batch, registry(api), Watcher(REGION, BASELINE), epoch, 0)


async def test_what_krane_registers_is_kept(api: RunningApi) -> None:
    """Promise: capabilities, machine and capacity are the region's; what can't be read is left out."""
    request = pb.RegisterRequest(
        region=REGION,
        instance_id="k",
        runtime="docker",
        capabilities=["feed.route/1", "feed.topology/1", "feed.route/1", "Not one", "x" * 100 + "/1"],
        architecture="arm64",
        host_name="a\0" + "h" * 300,
        capacity=pb.HostCapacity(cpus=4, memory_mib=2**64 - 1),
    )
    await api.krane.cluster.Register(request)
    row = await api.db.read(regions.get, REGION)
    assert row is not None
    assert row.capabilities_json == ["feed.route/1", "feed.topology/1"]
    assert (row.architecture, len(row.host_name), row.cpus, row.memory_mib) == ("arm64", 253, 4, 2**63 - 1)


async def test_a_watch_tells_again_what_krane_supports(api: RunningApi) -> None:
    """Promise: an api that was upgraded or restored under a running krane learns it from the next watch."""
    epoch = await register(api)  # an api from before capabilities recorded none
    told = pb.WatchDesiredStateRequest(region=REGION, capabilities=["route.weights/1", *sorted(BASELINE), "Not one"])
    for request in (told, pb.WatchDesiredStateRequest(region=REGION, epoch=epoch)):  # one that tells none keeps them
        await until_head(api.krane.cluster.WatchDesiredState(request))
        row = await api.db.read(regions.get, REGION)
        assert row is not None
        assert row.capabilities_json == [*sorted(BASELINE), "route.weights/1"]


async def test_an_app_of_http2_takes_a_krane_that_speaks_it(api: RunningApi, deploy: Deploy) -> None:
    """Promise: an old krane is not sent what it would probe and serve as HTTP/1.1: the deploy is refused in words."""
    await register(api)
    h2c = common_pb2.RuntimeSettings(protocol=common_pb2.APP_PROTOCOL_H2C)
    with pytest.raises(aio.AioRpcError) as caught:
        await deploy(settings=h2c)
    _, code, _, message = refused(caught.value)
    assert (code, "app.protocol/1" in message, REGION in message) == ("region.capability_missing", True, True)
    able = [*BASELINE, "app.protocol/1"]
    request = pb.RegisterRequest(region=REGION, instance_id="inst_k", runtime="docker", capabilities=able)
    await api.krane.cluster.Register(request)
    made = await deploy(settings=h2c)
    assert made.settings.protocol == common_pb2.APP_PROTOCOL_H2C
    await api.db.write(place, made.deployment_id)
    sent = next(one for one in await first(api, registry(api), *able) if one.HasField("topology"))
    assert (sent.topology.settings.protocol, list(sent.required_capabilities)) == (
        common_pb2.APP_PROTOCOL_H2C,
        ["app.protocol/1"],
    )
    await api.db.write(place, made.deployment_id, stopped=True)
    stopped = await api.db.read(Topologies(Rendering(api.vault, Ingress())).current, REGION, made.deployment_id)
    assert (stopped.topology.stopped, list(stopped.required_capabilities)) == (True, [])
    await api.db.write(make_ready, made.deployment_id)
    await api.krane.cluster.Register(
        pb.RegisterRequest(region=REGION, instance_id="inst_k", runtime="docker", capabilities=list(BASELINE))
    )
    with pytest.raises(aio.AioRpcError) as caught:
        await api.admin.deployment.Promote(deployment_pb2.PromoteRequest(deployment_id=made.deployment_id))
    assert refused(caught.value)[1] == "region.capability_missing"


async def test_an_intent_that_a_region_cannot_carry_out_is_refused(api: RunningApi, deploy: Deploy) -> None:
    """Promise: who deploys or promotes reads which region lacks what, before anything is recorded."""
    await register(api)
    live = await deploy()
    await api.db.write(make_ready, live.deployment_id)
    request = pb.RegisterRequest(region=REGION, instance_id="k", runtime="docker", capabilities=[TOPOLOGY.capability])
    await api.krane.cluster.Register(request)
    promote = deployment_pb2.PromoteRequest(deployment_id=live.deployment_id)
    for intent in (deploy(branch="b"), api.admin.deployment.Promote(promote)):
        with pytest.raises(aio.AioRpcError) as caught:
            await intent
        status, code, _, message = refused(caught.value)
        assert (status, code) == (grpc.StatusCode.FAILED_PRECONDITION, "region.capability_missing")
        assert REGION in message
        assert ROUTE.capability in message
        assert "upgrade krane" in message
