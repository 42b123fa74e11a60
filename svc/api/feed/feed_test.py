"""The desired-state feed over a real channel: what krane relies on."""

import asyncio

import grpc
import pytest
from grpc import aio
from sqlalchemy import Connection, delete, text, update

from pkg.clock import now_ms
from pkg.config.sections import Ingress
from pkg.desired.capabilities import ROUTE
from pkg.feed import queries as desired
from pkg.ids import dns_label
from pkg.installation.tables import installation
from pkg.routes.tables import routes
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import build_pb2, environment_pb2, project_pb2
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.api.cluster_testing import kinds, place, register, until_head, watch
from svc.api.conftest import Deploy, Upload
from svc.api.deployment_testing import make_ready
from svc.api.feed.producer import Rendering
from svc.api.feed.producers import PRODUCERS
from svc.api.feed.reader import CHANGES_AT_ONCE, Watcher
from svc.api.testing import REGION, RunningApi, refused


@pytest.fixture
async def epoch(api: RunningApi) -> str:
    """Registered; the epoch."""
    return await register(api)


async def test_snapshot_is_complete(api: RunningApi, epoch: str, deploy: Deploy) -> None:
    """Promise: from cursor 0, everything that is to run comes with one version, between a begin and an end mark."""
    running, stopped = await deploy(), await deploy(branch="b")
    await api.db.write(make_ready, running.deployment_id, hostname="hello.sealift.localhost")
    await api.db.write(place, running.deployment_id)
    await api.db.write(place, stopped.deployment_id)
    await api.db.write(place, stopped.deployment_id, stopped=True)
    messages = await until_head(watch(api))
    assert kinds(messages) == ["snapshot_begin", "topology", "route", "snapshot_end", "head"]
    assert messages[0].snapshot_begin.epoch == epoch
    assert {message.version for message in messages} == {(await api.db.read(desired.head)).version}
    topology = messages[1].topology
    assert (topology.deployment_id, topology.image_ref) == (running.deployment_id, "engine:sha256:1")
    assert topology.settings == running.settings
    assert messages[2].route.deployment_id == running.deployment_id


async def test_empty_snapshot_once(api: RunningApi, epoch: str, deploy: Deploy) -> None:
    """Promise: a fresh installation sends one empty snapshot; changes after it are changes."""
    call = watch(api)
    assert kinds(await until_head(call)) == ["snapshot_begin", "snapshot_end", "head"]
    made = await deploy()
    await api.db.write(place, made.deployment_id)
    assert kinds(await until_head(call)) == ["topology", "head"]


async def test_changes_follow_at_once(api: RunningApi, epoch: str, deploy: Deploy) -> None:
    """Promise: a change by any process arrives as it stands, removals too, with its version."""
    call = watch(api)
    await until_head(call)
    made = await deploy()
    version = await api.db.write(place, made.deployment_id)
    messages = await until_head(call)
    assert [(m.version, m.topology.stopped) for m in messages[:-1]] == [(version, False)]
    await api.db.write(make_ready, made.deployment_id, hostname="hello.sealift.localhost")
    assert (await until_head(call))[0].route.hostname == "hello.sealift.localhost"

    def remove(connection: Connection) -> None:
        connection.execute(delete(routes))
        desired.record(connection, ROUTE, "hello.sealift.localhost", now_ms())
        place(connection, made.deployment_id, stopped=True)

    await api.db.write(remove)
    messages = await until_head(call)
    assert kinds(messages) == ["route_removed", "topology", "head"]
    assert messages[1].topology.stopped
    assert messages[-1].version == messages[1].version


async def test_a_cursor_is_resumed(api: RunningApi, epoch: str, deploy: Deploy) -> None:
    """Promise: after a lost stream only what was missed comes, in order; nothing when nothing was."""
    made = await deploy()
    first = await api.db.write(place, made.deployment_id)
    second = await api.db.write(place, made.deployment_id, stopped=True)
    messages = await until_head(watch(api, epoch, first))
    assert [(m.version, m.WhichOneof("event")) for m in messages] == [(second, "topology"), (second, "head")]
    assert kinds(await until_head(watch(api, epoch, second))) == ["head"]


@pytest.mark.parametrize("why", ["another epoch", "past the head", "pruned"])
async def test_a_cursor_that_means_nothing_gets_a_snapshot(
    api: RunningApi, epoch: str, deploy: Deploy, why: str
) -> None:
    """Promise: after a restore, or when changes were pruned, krane gets everything instead of a gap."""
    made = await deploy()
    await api.db.write(place, made.deployment_id)
    await api.db.write(place, made.deployment_id, stopped=True)
    known_epoch, cursor = epoch, 1
    match why:
        case "another epoch":
            known_epoch = "other"
        case "past the head":
            cursor = 99
        case "pruned":
            assert await api.db.write(lambda c: desired.prune(c, before=now_ms() + 1)) == 2
    assert kinds(await until_head(watch(api, known_epoch, cursor))) == ["snapshot_begin", "snapshot_end", "head"]


async def test_a_new_epoch_is_noticed_while_watching(api: RunningApi, epoch: str) -> None:
    """Promise: a database restored under a running stream leads to a snapshot of the new epoch."""
    call = watch(api)
    await until_head(call)
    await api.db.write(lambda c: c.execute(update(installation).values(epoch="restored")))
    messages = await until_head(call)
    assert kinds(messages) == ["snapshot_begin", "snapshot_end", "head"]
    assert messages[0].snapshot_begin.epoch == "restored"


async def test_order_under_concurrent_commits(api: RunningApi, epoch: str) -> None:
    """Promise: with many writers in two processes no change is skipped and versions only grow, over full pages, too."""
    call = watch(api)
    start = (await until_head(call))[-1].version
    count = CHANGES_AT_ONCE + 50

    async def write(number: int) -> None:
        await api.db.write(lambda c: desired.record(c, ROUTE, f"h{number}.sealift.localhost", now_ms()))

    writers = asyncio.gather(*(write(number) for number in range(count)))
    seen: list[pb.WatchDesiredStateResponse] = []
    async with asyncio.timeout(WAIT_S):
        while sum(1 for m in seen if m.HasField("route_removed")) < count:
            seen.append(await call.read())
    await writers
    versions = [m.version for m in seen if m.HasField("route_removed")]
    assert versions == list(range(start + 1, start + count + 1))
    versions = [m.version for m in seen]
    assert versions == sorted(versions)


async def test_variables_are_rendered_in_clear_for_what_runs_only(api: RunningApi, epoch: str, deploy: Deploy) -> None:
    """Promise: the stream carries the snapshot's variables; a stopped deployment's stay sealed."""
    first = await deploy()
    await api.admin.environment.UpdateEnvironment(
        environment_pb2.UpdateEnvironmentRequest(
            environment_id=first.environment_id, set_variables={"TOKEN": "ünïcode", "EMPTY": ""}
        )
    )
    second = await deploy(branch="b")
    await api.db.write(place, first.deployment_id)
    await api.db.write(place, second.deployment_id)
    topologies = {m.topology.deployment_id: m.topology for m in await until_head(watch(api)) if m.HasField("topology")}
    assert dict(topologies[first.deployment_id].variables) == {}
    assert dict(topologies[second.deployment_id].variables) == {"TOKEN": "ünïcode", "EMPTY": ""}
    call = watch(api, epoch, 2)
    await until_head(call)
    await api.db.write(place, second.deployment_id, stopped=True)
    assert dict((await until_head(call))[0].topology.variables) == {}


@pytest.mark.usefixtures("epoch")
async def test_variables_that_may_be_seen_are_named(api: RunningApi, deploy: Deploy) -> None:
    """Promise: plain are those of the deployment itself and those set to be seen; never one that is sealed, whatever
    else has its name, nor one of a deployment from before that was recorded."""
    old = await deploy(variables={"LEVEL": "debug"})
    update = environment_pb2.UpdateEnvironmentRequest(environment_id=old.environment_id)
    update.set_variables.update({"TOKEN": "sealed", "BOTH": "sealed"})
    update.set_plain_variables.update({"URL": "https://x", "OVER": "plain"})
    await api.admin.environment.UpdateEnvironment(update)
    new = await deploy(branch="b", variables={"LEVEL": "debug", "BOTH": "a default", "OVER": "a default"})
    update = environment_pb2.UpdateEnvironmentRequest(environment_id=old.environment_id)
    update.set_variables.update({"URL": "sealed from now on"})
    await api.admin.environment.UpdateEnvironment(update)
    for one in (old, new):
        await api.db.write(place, one.deployment_id)
    forget = text("UPDATE deployments SET plain_variables_json = '[]' WHERE id = :id")
    await api.db.write(lambda connection: connection.execute(forget, {"id": old.deployment_id}) and None)
    topologies = {m.topology.deployment_id: m.topology for m in await until_head(watch(api)) if m.HasField("topology")}
    assert list(topologies[new.deployment_id].plain_variables) == ["LEVEL", "OVER", "URL"]
    assert (topologies[new.deployment_id].variables["BOTH"], topologies[new.deployment_id].variables["URL"]) == (
        "sealed",
        "https://x",
    )
    assert list(topologies[old.deployment_id].plain_variables) == []


async def test_topologies_tell_the_address(
    api: RunningApi, epoch: str, deploy: Deploy, project: project_pb2.Project
) -> None:
    """Promise: an app knows its public URL, and is probed with its own hostname, before any route leads there."""
    live, preview = await deploy(), await deploy(environment_slug="preview")
    for deployment in (live, preview):
        await api.db.write(place, deployment.deployment_id)
    topologies = {m.topology.deployment_id: m.topology for m in await until_head(watch(api)) if m.HasField("topology")}
    own = dns_label(live.deployment_id)
    assert topologies[live.deployment_id].public_url == f"http://{project.slug}.sealift.localhost:7480"
    assert topologies[live.deployment_id].own_authority == f"{project.slug}-{own}.sealift.localhost:7480"
    assert topologies[preview.deployment_id].public_url == f"http://{project.slug}-env-preview.sealift.localhost:7480"


async def test_what_a_user_named_is_pulled_and_what_was_built_is_not(
    api: RunningApi, epoch: str, deploy: Deploy, project: project_pb2.Project, upload: Upload
) -> None:
    """Promise: a region pulls an image before it runs if, and only if, its name is all that speaks for it."""
    context = build_pb2.BuildContext(build_context_path=await upload(project.project_id))
    named, pinned, built = await deploy(branch="a"), await deploy(branch="b"), await deploy(build_context=context)
    for deployment, image_ref in (
        (named, "nginx:1.27"),
        (pinned, "engine:sha256:1"),
        (built, "registry.test/apps/a@sha256:1"),
    ):
        await api.db.write(place, deployment.deployment_id, image_ref=image_ref)
    topologies = {m.topology.deployment_id: m.topology for m in await until_head(watch(api)) if m.HasField("topology")}
    told = [topologies[one.deployment_id].must_pull for one in (named, pinned, built)]
    assert told == [True, False, False]


async def test_a_keepalive_comes_by_itself(api: RunningApi, epoch: str) -> None:
    """Promise: an idle stream says HeadReached every so often."""
    from svc.api.feed.stream import stream

    producers = [make(Rendering(api.vault, Ingress())) for make in PRODUCERS]
    messages = stream(api.db, producers, Watcher(REGION), epoch="", after_version=0, keepalive_s=0.1)
    found = []
    async with asyncio.timeout(WAIT_S):
        async for message in messages:
            found.append(message)
            if kinds(found).count("head") == 3:
                break
    await messages.aclose()
    assert kinds(found) == ["snapshot_begin", "snapshot_end", "head", "head", "head"]


async def test_register_first(api: RunningApi) -> None:
    """Promise: every call of an unregistered region is refused with "register"."""
    for call in (
        watch(api).read(),
        api.krane.cluster.Heartbeat(pb.HeartbeatRequest(region=REGION)),
        api.krane.cluster.ReportInstances(pb.ReportInstancesRequest(region=REGION)),
    ):
        with pytest.raises(aio.AioRpcError) as caught:
            await call
        assert refused(caught.value)[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "region.not_registered")
