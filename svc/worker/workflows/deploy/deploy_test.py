"""What a deploy promises, on a real Restate and a real database."""

from functools import partial
from pathlib import Path

import pytest

from pkg.builders.port import BuildSpec
from pkg.builds.failures import BuildFailed, FailureKind
from pkg.builds.model import BuildStatus
from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState, Status
from pkg.errors import FailedPrecondition
from pkg.images import ImageRef
from pkg.regions import queries as regions
from pkg.restate.testing import RestateServer
from pkg.workflows.deploy import DEPLOY, DEPLOY_STOP
from sealift.workflow.v1.workflow_pb2 import StopRequest
from svc.worker.testing.harness import WorkerHarness, quick, tarball, worker_harness
from svc.worker.testing.region import FakeRegion
from svc.worker.workflows import instances


async def test_an_upload_becomes_live(harness: WorkerHarness) -> None:
    """The happy path: built, started, routed, ready; every step has its times; the build's image is what runs."""
    deployment_id = await harness.deploy()
    ended = await harness.ended(deployment_id, Status.READY)
    assert ended.run_state is RunState.RUNNING
    build = await harness.built(ended.build_id)
    assert build.status is BuildStatus.SUCCEEDED
    assert (ended.image_ref, ended.image_region) == (build.image_ref, "local")
    assert await harness.live() == deployment_id
    steps = await harness.deps.db.read(deployments.steps, deployment_id)
    assert [s.name for s in steps] == ["queued", "building", "deploying", "network", "finalizing"]
    assert all(s.ended_at is not None and s.error is None for s in steps)
    assert len(harness.builder.specs) == 1
    assert b'sealift_deploy_duration_seconds_count{outcome="ready"} 1.0' in harness.deps.metrics.render()


async def test_an_image_becomes_live_and_is_pinned(harness: WorkerHarness) -> None:
    """An image takes no slot and no build; a rollback runs what ran before, wherever its tag points later."""
    deployment_id = await harness.deploy(image="registry.test/app:latest")
    ended = await harness.ended(deployment_id, Status.READY)
    assert (ended.image_ref, ended.image_region) == ("engine:sha256:pulled", "local")
    assert harness.builder.specs == []


async def test_an_earlier_build_becomes_live_without_a_build(harness: WorkerHarness) -> None:
    """The image of a build is deployed twice: nothing is built again, and the build keeps its outcome."""
    build = await harness.build_ended(await harness.build())
    for _ in range(2):
        deployment_id = await harness.deploy(built=build)
        ended = await harness.ended(deployment_id, Status.READY)
        assert (ended.build_id, ended.image_ref, ended.image_region) == (build.id, build.image_ref, "local")
        assert await harness.live() == deployment_id
        steps = await harness.deps.db.read(deployments.steps, deployment_id)
        assert [s.name for s in steps] == ["queued", "deploying", "network", "finalizing"]
        await harness.workflow_over(DEPLOY, deployment_id)
    assert len(harness.builder.specs) == 1
    assert await harness.built(build.id) == build


async def _is_placed_twice(harness: WorkerHarness, deployment_id: str) -> bool:
    return len(await harness.deps.db.read(regions.topologies_of, deployment_id)) == 2


async def test_an_image_of_one_engine_is_not_enough_for_two_regions(harness: WorkerHarness) -> None:
    """A region that joined late ends a deploy from source with what to set; with a registry both regions run it."""
    await FakeRegion(harness.deps.db, harness.deps.restate, "second").register()
    failed = await harness.ended(await harness.deploy(), Status.FAILED)
    assert failed.error_code == "image.not_portable"
    assert "2 regions are registered (local, second). Set [registry] url" in (failed.error_message or "")
    pushed = ImageRef("registry.test/apps/proj", digest="sha256:" + "0" * 64)
    harness.builder.outcome = lambda spec: pushed
    deployment_id = await harness.deploy()
    await harness.reaches(deployment_id, Status.DEPLOYING)
    await harness.until(partial(_is_placed_twice, harness, deployment_id), "placed")
    placed = await harness.deps.db.read(regions.topologies_of, deployment_id)
    assert {(one.region, one.image_ref) for one in placed} == {("local", str(pushed)), ("second", str(pushed))}


async def test_the_replaced_deployment_stays_warm(harness: WorkerHarness) -> None:
    """After a second deploy the first one is on standby, still running, and only its own hostnames point at it."""
    first = await harness.deploy(image="a")
    await harness.ended(first, Status.READY)
    second = await harness.deploy(image="b")
    await harness.ended(second, Status.READY)
    assert await harness.live() == second
    assert (await harness.deployment(first)).run_state is RunState.STANDBY
    assert all("-dep-" in hostname for hostname in await harness.hostnames(first))


async def test_each_displaced_deployment_is_retired_by_one_message(harness: WorkerHarness) -> None:
    """What a deploy leaves to Restate does not grow with the warm deployments before it: 200 of them were 19,900."""
    for number in range(4):
        deployment_id = await harness.deploy(image=f"a{number}")
        await harness.ended(deployment_id, Status.READY)
        await harness.workflow_over(DEPLOY, deployment_id)
    scheduled = await harness.deps.restate.sql(
        "select id from sys_invocation where target_handler_name = 'retire' and status = 'scheduled' "
        f"and target_service_key = '{harness.environment_id}'"
    )
    assert len(scheduled) == 3


async def test_a_failed_build_fails_the_deploy_with_its_reason(harness: WorkerHarness) -> None:
    """The build's own code and message reach the deployment; nothing was started; live is unchanged."""
    first = await harness.deploy(image="a")
    await harness.ended(first, Status.READY)

    def fail(_: BuildSpec) -> ImageRef:
        raise BuildFailed(FailureKind.COMMAND_FAILED, "RUN make ended with exit code 7", exit_code=7)

    harness.builder.outcome = fail
    second = await harness.deploy()
    ended = await harness.ended(second, Status.FAILED)
    assert (ended.error_code, ended.error_step) == ("build.command_failed", "building")
    assert ended.error_message == "RUN make ended with exit code 7"
    assert await harness.live() == first
    assert await harness.deps.db.read(regions.topologies_of, second) == []
    steps = {s.name: s for s in await harness.deps.db.read(deployments.steps, second)}
    assert steps["building"].error == ended.error_message
    assert "deploying" not in steps


async def test_a_refused_archive_fails_the_deploy(harness: WorkerHarness) -> None:
    """An archive without a Dockerfile never reaches the builder."""
    deployment_id = await harness.deploy(archive=tarball(dockerfile=False))
    ended = await harness.ended(deployment_id, Status.FAILED)
    assert (ended.error_code or "").startswith("context.")
    assert harness.builder.specs == []


async def test_an_app_that_exits_fails_with_its_last_words(harness: WorkerHarness) -> None:
    """The reason, the exit code and the last log lines are in the message; the old version stays live, warm."""
    first = await harness.deploy(image="a")
    await harness.ended(first, Status.READY)
    harness.region.behavior.by_default = "failed"
    harness.region.behavior.log_tail = [f"line {n}" for n in range(40)]
    second = await harness.deploy(image="b")
    ended = await harness.ended(second, Status.FAILED)
    assert (ended.error_code, ended.error_step) == ("instance.failed", "deploying")
    message = ended.error_message or ""
    assert "it exited at once (exit code 3)" in message
    assert "line 39" in message
    assert "line 20" in message
    assert "line 19\n" not in message
    assert await harness.live() == first
    assert (await harness.deployment(first)).run_state is RunState.RUNNING
    await harness.in_run_state(second, RunState.STOPPED)
    assert all(t.stopped for t in await harness.deps.db.read(regions.topologies_of, second))
    assert await harness.hostnames(second) == []


async def test_an_app_that_never_becomes_healthy_fails_in_time(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start timeout is a bound; the message names what was missing and the last probe's answer."""
    monkeypatch.setattr(instances, "GRACE_S", 0)
    harness.region.behavior.by_default = "starting"
    deployment_id = await harness.deploy(image="a", settings=quick(start_timeout_s=1))
    ended = await harness.ended(deployment_id, Status.FAILED)
    assert ended.error_code == "instance.not_healthy"
    assert "Not healthy within 1 s: 0 of 1 instances are healthy in region local" in (ended.error_message or "")
    assert "connection refused" in (ended.error_message or "")
    await harness.in_run_state(deployment_id, RunState.STOPPED)


async def test_every_replica_must_be_healthy(harness: WorkerHarness) -> None:
    """One healthy instance of two is not ready."""
    harness.region.behavior.by_default = "silent"
    deployment_id = await harness.deploy(image="a", settings=quick(replicas=2))
    await harness.reaches(deployment_id, Status.DEPLOYING)
    harness.region.behavior.by_default = "healthy"
    harness.region.changed()
    await harness.ended(deployment_id, Status.READY)
    assert len(await harness.deps.db.read(regions.instances_of, deployment_id)) == 2


async def test_a_lost_report_is_found_by_looking(harness: WorkerHarness) -> None:
    """Notifications only make it faster: with all of them lost the deploy still ends, by polling the database."""
    harness.region.behavior.notifies = False
    deployment_id = await harness.deploy()
    await harness.ended(deployment_id, Status.READY)


async def test_without_a_region_the_deploy_waits_and_says_so(
    restate_server: RestateServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No krane: a bounded wait, then the reason. A region that comes in time is used."""
    async with worker_harness(restate_server, tmp_path, with_region=False) as harness:
        waiting = await harness.deploy(image="a")
        await harness.reaches(waiting, Status.DEPLOYING)
        await harness.region.register()
        await harness.ended(waiting, Status.READY)
    (tmp_path / "second").mkdir()
    monkeypatch.setattr("svc.worker.workflows.deploy.instances.REGION_TIMEOUT_S", 1)
    async with worker_harness(restate_server, tmp_path / "second", with_region=False) as harness:
        deployment_id = await harness.deploy(image="a")
        ended = await harness.ended(deployment_id, Status.FAILED)
        assert ended.error_code == "instance.no_region"


async def test_cancel_while_queued(restate_server: RestateServer, tmp_path: Path) -> None:
    """A deploy that waits for a slot ends at once; its place goes to the next one."""
    async with worker_harness(restate_server, tmp_path, build_slots=1) as harness:
        harness.builder.hold.clear()
        first = await harness.deploy(branch="a")
        await harness.reaches(first, Status.BUILDING)
        second = await harness.deploy(branch="b")
        await harness.cancel(second)
        ended = await harness.ended(second, Status.CANCELLED)
        assert (await harness.build_ended(ended.build_id)).status is BuildStatus.CANCELLED
        third = await harness.deploy(branch="c")
        harness.builder.hold.set()
        await harness.ended(first, Status.READY)
        await harness.ended(third, Status.READY)
        assert ended.build_id not in {spec.build_id for spec in harness.builder.specs}


async def test_cancel_while_building(harness: WorkerHarness) -> None:
    """The solve is cancelled, the secrets go, nothing is started."""
    harness.builder.hold.clear()
    deployment_id = await harness.deploy(secrets={"token": b"hidden"})
    await harness.until(lambda: _is_running(harness), "the build runs")
    await harness.cancel(deployment_id)
    ended = await harness.ended(deployment_id, Status.CANCELLED)
    assert ended.error_code is None
    steps = {s.name: s.error for s in await harness.deps.db.read(deployments.steps, deployment_id)}
    assert steps == {"queued": None, "building": "cancelled"}
    assert harness.builder.cancelled == [ended.build_id]
    assert (await harness.build_ended(ended.build_id)).status is BuildStatus.CANCELLED


async def test_cancel_while_deploying(harness: WorkerHarness) -> None:
    """Instances that were started are stopped again; a second cancel changes nothing."""
    harness.region.behavior.by_default = "starting"
    deployment_id = await harness.deploy(image="a")
    await harness.until(lambda: harness.deps.db.read(regions.instances_of, deployment_id), "an instance starts")
    await harness.cancel(deployment_id)
    await harness.cancel(deployment_id)
    await harness.ended(deployment_id, Status.CANCELLED)
    await harness.cancel(deployment_id)
    await harness.in_run_state(deployment_id, RunState.STOPPED)
    assert (await harness.deployment(deployment_id)).status is Status.CANCELLED
    assert await harness.hostnames(deployment_id) == []


@pytest.mark.parametrize("phase", ["building", "deploying"])
async def test_a_cancel_that_rang_no_bell_is_found(harness: WorkerHarness, phase: str) -> None:
    """The api died between its commit and the notification."""
    harness.region.behavior.by_default = "starting"
    if phase == "building":
        harness.builder.hold.clear()
    deployment_id = await harness.deploy() if phase == "building" else await harness.deploy(image="a")
    await harness.reaches(deployment_id, Status(phase))
    await harness.cancel(deployment_id, notify=False)
    await harness.ended(deployment_id, Status.CANCELLED)


async def test_a_cancel_during_routing_is_refused(harness: WorkerHarness) -> None:
    """From `network` on there is no way back but a rollback; a stop that comes then is ignored."""
    harness.region.behavior.applies = False
    deployment_id = await harness.deploy(image="a")
    await harness.reaches(deployment_id, Status.NETWORK)
    with pytest.raises(FailedPrecondition, match="already_switching"):
        await harness.cancel(deployment_id)
    await harness.deps.restate.send(DEPLOY_STOP, deployment_id, StopRequest(reason="cancelled"))
    harness.region.behavior.applies = True
    harness.region.changed()
    await harness.ended(deployment_id, Status.READY)


async def test_a_newer_deploy_supersedes_a_pending_one(restate_server: RestateServer, tmp_path: Path) -> None:
    """The older one of the branch never builds; its build row ends, too; one that was never dispatched likewise."""
    async with worker_harness(restate_server, tmp_path, build_slots=1) as harness:
        harness.builder.hold.clear()
        holder = await harness.deploy(branch="other")
        await harness.reaches(holder, Status.BUILDING)
        older = await harness.deploy()
        undispatched = await harness.deploy(dispatch=False)
        newest = await harness.deploy()
        harness.builder.hold.set()
        await harness.ended(newest, Status.READY)
        for deployment_id in (older, undispatched):
            superseded = await harness.ended(deployment_id, Status.SUPERSEDED)
            await harness.dispatch_again(deployment_id)
            assert (await harness.build_ended(superseded.build_id)).status is BuildStatus.CANCELLED
        assert {s.build_id for s in harness.builder.specs} == {
            (await harness.deployment(d)).build_id for d in (holder, newest)
        }


async def test_two_deploys_crossing(harness: WorkerHarness) -> None:
    """Two deploys of different branches at once: both become ready, the newer one is live, whichever finishes first."""
    first, second = await harness.deploy(image="a", branch="a"), await harness.deploy(image="b", branch="b")
    await harness.ended(first, Status.READY)
    await harness.ended(second, Status.READY)
    assert await harness.live() == second


async def test_a_late_older_deploy_leaves_the_newer_one_live(harness: WorkerHarness) -> None:
    """The fence: it takes only routes that no newer intent holds, and its notice names what is live."""
    harness.region.behavior.by_default = "starting"
    older = await harness.deploy(image="a", branch="a")
    await harness.reaches(older, Status.DEPLOYING)
    harness.region.behavior.of[newer := await harness.deploy(image="b", branch="b")] = "healthy"
    harness.region.changed()
    await harness.ended(newer, Status.READY)
    harness.region.behavior.by_default = "healthy"
    harness.region.changed()
    ended = await harness.ended(older, Status.READY)
    assert ended.notices_json == [f"live is {newer} (newer)"]
    assert await harness.live() == newer
    assert any("-git-a" in hostname for hostname in await harness.hostnames(older))
    assert ended.run_state is RunState.RUNNING


@pytest.mark.parametrize("obstacle", ["envoy is away", "refused"])
async def test_routes_that_are_not_applied_go_back(
    restate_server: RestateServer, tmp_path: Path, obstacle: str
) -> None:
    """The switch is undone to the deployment that was live; the message names the region."""
    async with worker_harness(restate_server, tmp_path, route_timeout_s=1) as harness:
        first = await harness.deploy(image="a")
        await harness.ended(first, Status.READY)
        live_hostnames = [h for h in await harness.hostnames(first) if "-dep-" not in h]
        if obstacle == "refused":
            harness.region.behavior.refuses = set(live_hostnames)
        else:
            harness.region.behavior.applies = False
        second = await harness.deploy(image="b")
        ended = await harness.ended(second, Status.FAILED)
        assert (ended.error_code, ended.error_step) == ("route.not_applied", "network")
        assert "region local" in (ended.error_message or "")
        assert ("no such cluster" in (ended.error_message or "")) == (obstacle == "refused")
        assert await harness.live() == first
        assert set(live_hostnames) <= set(await harness.hostnames(first))
        assert await harness.hostnames(second) == []
        assert (await harness.deployment(first)).run_state is RunState.RUNNING
        await harness.in_run_state(second, RunState.STOPPED)


async def test_undo_goes_to_who_answers_now(restate_server: RestateServer, tmp_path: Path) -> None:
    """Not to the deployment that was live before if that one has stopped meanwhile: to an earlier one that runs."""
    async with worker_harness(restate_server, tmp_path, route_timeout_s=3) as harness:
        first = await harness.deploy(image="a")
        await harness.ended(first, Status.READY)
        second = await harness.deploy(image="b")
        await harness.ended(second, Status.READY)
        harness.region.behavior.applies = False
        third = await harness.deploy(image="c")
        await harness.reaches(third, Status.NETWORK)
        await harness.until(lambda: _is(harness, third), "the third holds the routes")
        await harness.deps.db.write(deployments.set_run_state, second, RunState.STOPPING, 1)
        await harness.ended(third, Status.FAILED)
        assert await harness.live() == first
        assert (await harness.deployment(first)).run_state is RunState.RUNNING


async def test_a_deploy_dispatched_twice_runs_once(harness: WorkerHarness) -> None:
    """The dispatcher may send again: the workflow's key makes it one run."""
    deployment_id = await harness.deploy(image="a")
    await harness.dispatch_again(deployment_id)
    await harness.ended(deployment_id, Status.READY)
    await harness.dispatch_again(deployment_id)
    await harness.workflow_over(DEPLOY, deployment_id)
    assert (await harness.deployment(deployment_id)).status is Status.READY


async def _is_running(harness: WorkerHarness) -> bool:
    return harness.builder.running > 0


async def _is(harness: WorkerHarness, deployment_id: str) -> bool:
    return await harness.live() == deployment_id
