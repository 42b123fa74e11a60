"""What a promote, a rollback and a stop promise, on a real Restate and a real database."""

from pathlib import Path

import pytest

from pkg.deployments.status import RunState, Status
from pkg.errors import FailedPrecondition
from pkg.operations.model import OperationKind, OperationStatus
from pkg.regions import queries as regions
from pkg.restate.testing import RestateServer
from pkg.workflows.switch import SWITCH
from svc.worker.testing.harness import WorkerHarness, worker_harness
from svc.worker.testing.scenario import assert_done, two_deployments
from svc.worker.workflows.instances import halt, halt_started_by
from svc.worker.workflows.routing.routes import assign_routes, undo_routes
from svc.worker.workflows.routing.stopping import retire_deployment
from svc.worker.workflows.switch.record import begin, end, write_done
from svc.worker.workflows.switch.workflow import CODE_VERSION


async def test_a_rollback_to_a_warm_deployment(harness: WorkerHarness) -> None:
    """The one before is live again, running; the bad one goes to standby; the environment is rolled back."""
    first, second = await two_deployments(harness)
    assert_done(await harness.done(await harness.switch(OperationKind.ROLLBACK)))
    assert await harness.live() == first
    assert (await harness.deployment(first)).run_state is RunState.RUNNING
    assert (await harness.deployment(second)).run_state is RunState.RUNNING  # the branch still points at it
    assert (await harness.environment()).is_rolled_back


async def test_after_a_rollback_deploys_wait_for_a_promote(harness: WorkerHarness) -> None:
    """A new deploy becomes ready but takes no live route, and its notice says what to do; a promote makes it live."""
    first, _ = await two_deployments(harness)
    assert_done(await harness.done(await harness.switch(OperationKind.ROLLBACK)))
    third = await harness.deploy(image="c")
    ended = await harness.ended(third, Status.READY)
    assert ended.notices_json == ["environment is rolled back: promote this deployment to make it live"]
    assert await harness.live() == first
    assert_done(await harness.done(await harness.switch(OperationKind.PROMOTE, third)))
    assert await harness.live() == third
    assert not (await harness.environment()).is_rolled_back
    assert (await harness.deployment(first)).run_state is RunState.STANDBY


async def test_a_rollback_to_a_stopped_deployment_starts_it_first(
    restate_server: RestateServer, tmp_path: Path
) -> None:
    """Its instances run and are healthy before a route moves; its own hostnames come back with it."""
    async with worker_harness(restate_server, tmp_path, standby_ttl_s=0) as harness:
        first, second = await two_deployments(harness)
        stopped = await harness.in_run_state(first, RunState.STOPPED)
        assert await harness.hostnames(first) == []
        harness.region.behavior.by_default = "starting"
        operation_id = await harness.switch(OperationKind.ROLLBACK, first)
        await harness.in_run_state(first, RunState.STARTING)
        await harness.until(lambda: harness.deps.db.read(regions.instances_of, first), "an instance starts")
        assert await harness.live() == second
        harness.region.behavior.by_default = "healthy"
        harness.region.changed()
        assert_done(await harness.done(operation_id))
        assert await harness.live() == first
        assert any("-dep-" in hostname for hostname in await harness.hostnames(first))
        topologies = await harness.deps.db.read(regions.topologies_of, first)
        assert [(t.image_ref, t.stopped) for t in topologies] == [(stopped.image_ref, False)]


async def test_a_cold_target_that_fails_changes_nothing(restate_server: RestateServer, tmp_path: Path) -> None:
    """The operation fails with the app's last output; what is live stays; the target is stopped again."""
    async with worker_harness(restate_server, tmp_path, standby_ttl_s=0) as harness:
        first, second = await two_deployments(harness)
        await harness.in_run_state(first, RunState.STOPPED)
        harness.region.behavior.of[first] = "failed"
        failed = await harness.done(await harness.switch(OperationKind.ROLLBACK, first))
        assert (failed.status, failed.error_code) == (OperationStatus.FAILED, "instance.failed")
        assert "boom" in (failed.error_message or "")
        await harness.in_run_state(first, RunState.STOPPED)
        assert await harness.live() == second
        assert not (await harness.environment()).is_rolled_back


async def test_a_switch_that_fails_stops_nothing_that_another_made_live(harness: WorkerHarness) -> None:
    """Two on their way to one cold deployment, the older is overtaken by a deploy: the newer one's live app runs on."""
    cold, _ = await two_deployments(harness)
    assert_done(await harness.done(await harness.stop(cold)))
    harness.region.behavior.of[cold] = "starting"
    older = await harness.switch(OperationKind.ROLLBACK, cold)
    await harness.in_run_state(cold, RunState.STARTING)
    third = await harness.deploy(image="c")
    await harness.ended(third, Status.READY)
    newer = await harness.switch(OperationKind.PROMOTE, cold)
    await harness.until(lambda: is_running(harness, newer), "the newer one has started")
    harness.region.behavior.of[cold] = "healthy"
    harness.region.changed()
    await harness.done(older)
    assert_done(await harness.done(newer))
    for operation_id in (older, newer):
        await harness.workflow_over(SWITCH, operation_id)
    assert await harness.live() == cold
    assert (await harness.deployment(cold)).run_state is RunState.RUNNING
    assert [t.stopped for t in await harness.deps.db.read(regions.topologies_of, cold)] == [False]


async def test_what_a_failed_switch_stops_leaves_no_route(harness: WorkerHarness) -> None:
    """Its own hostnames came back with an earlier switch to it, whose fence is not the failed one's."""
    cold, second = await two_deployments(harness)
    assert_done(await harness.done(await harness.stop(cold)))
    assert_done(await harness.done(await harness.switch(OperationKind.ROLLBACK, cold)))
    assert_done(await harness.done(await harness.switch(OperationKind.PROMOTE, second)))
    assert await harness.hostnames(cold)
    overtaken = await harness.switch(OperationKind.ROLLBACK, cold, dispatch=False)
    assert (await halt_started_by(harness.deps, cold, overtaken)).stopping
    assert await harness.hostnames(cold) == []


async def is_running(harness: WorkerHarness, operation_id: str) -> bool:
    return (await harness.operation(operation_id)).status is OperationStatus.RUNNING


async def test_of_two_switches_that_fail_one_stops_what_they_woke(harness: WorkerHarness) -> None:
    """Each leaves it to the newer one; the newest stops it."""
    cold, second = await two_deployments(harness)
    assert_done(await harness.done(await harness.stop(cold)))
    harness.region.behavior.of[cold] = "starting"
    both = [await harness.switch(OperationKind.ROLLBACK, cold), await harness.switch(OperationKind.ROLLBACK, cold)]
    for operation_id in both:
        await harness.until(lambda one=operation_id: is_running(harness, one), "it has started")  # type: ignore[misc]
    harness.region.behavior.of[cold] = "failed"
    harness.region.changed()
    assert [(await harness.done(one)).status for one in both] == [OperationStatus.FAILED] * 2
    await harness.in_run_state(cold, RunState.STOPPED)
    assert await harness.live() == second


async def test_a_switch_whose_target_was_stopped_ends_at_once(harness: WorkerHarness) -> None:
    """A newer switch to it failed first and stopped it: the older does not wait for instances that never start."""
    cold, second = await two_deployments(harness)
    assert_done(await harness.done(await harness.stop(cold)))
    harness.region.behavior.of[cold] = "starting"
    operation_id = await harness.switch(OperationKind.ROLLBACK, cold)
    await harness.in_run_state(cold, RunState.STARTING)
    await halt(harness.deps, cold)
    failed = await harness.done(operation_id)
    assert (failed.status, failed.error_code) == (OperationStatus.FAILED, "operation.overtaken")
    assert await harness.live() == second


async def test_a_switch_that_is_not_applied_is_undone(restate_server: RestateServer, tmp_path: Path) -> None:
    """Routes, the rolled-back mark and the run states are as before; the reason names the region."""
    async with worker_harness(restate_server, tmp_path, route_timeout_s=1) as harness:
        first, second = await two_deployments(harness)
        harness.region.behavior.applies = False
        failed = await harness.done(await harness.switch(OperationKind.ROLLBACK))
        assert (failed.status, failed.error_code) == (OperationStatus.FAILED, "route.not_applied")
        assert "region local" in (failed.error_message or "")
        assert await harness.live() == second
        assert not (await harness.environment()).is_rolled_back
        assert (await harness.deployment(second)).run_state is RunState.RUNNING
        assert (await harness.deployment(first)).run_state is RunState.STANDBY


async def two_switches_took(harness: WorkerHarness) -> tuple[str, str, str, str]:
    """Two rollbacks to one deployment that both took the routes: what was live, the target, the older, the newer."""
    first, second = await two_deployments(harness)
    older, newer = [await harness.switch(OperationKind.ROLLBACK, first, dispatch=False) for _ in range(2)]
    for operation_id in (older, newer):
        assert not (await begin(harness.deps, operation_id, CODE_VERSION)).is_over
    for operation_id in (older, newer):
        assert (await assign_routes(harness.deps, first, operation_id)).taken
    return second, first, older, newer


async def fail(harness: WorkerHarness, operation_id: str, target: str) -> None:
    """What a switch to a warm target does that is not applied."""
    await undo_routes(harness.deps, target, operation_id)
    assert (await end(harness.deps, operation_id)).status == OperationStatus.FAILED


async def test_of_two_switches_the_newer_gives_back_to_the_older(harness: WorkerHarness) -> None:
    """Both moved the routes to one target and the newer is not applied: the older one's success stands."""
    _, target, older, newer = await two_switches_took(harness)
    await fail(harness, newer, target)
    await write_done(harness.deps, older)
    assert await harness.live() == target
    assert (await harness.deployment(target)).run_state is RunState.RUNNING
    assert (await harness.environment()).is_rolled_back


@pytest.mark.parametrize("first_to_fail", ["older", "newer"])
async def test_of_two_switches_that_fail_nothing_stays(harness: WorkerHarness, first_to_fail: str) -> None:
    """In either order, what was live before both is live again."""
    was_live, target, older, newer = await two_switches_took(harness)
    for operation_id in (older, newer) if first_to_fail == "older" else (newer, older):
        await fail(harness, operation_id, target)
    assert await harness.live() == was_live
    assert (await harness.deployment(was_live)).run_state is RunState.RUNNING
    assert (await harness.deployment(target)).run_state is RunState.STANDBY
    assert not (await harness.environment()).is_rolled_back


async def test_a_rollback_undone_in_a_rolled_back_environment_leaves_it_so(harness: WorkerHarness) -> None:
    """The environment is rolled back as long as a rollback made live what is live."""
    first, second = await two_deployments(harness)
    third = await harness.deploy(image="c")
    await harness.ended(third, Status.READY)
    assert_done(await harness.done(await harness.switch(OperationKind.ROLLBACK)))
    assert await harness.live() == second
    again = await harness.switch(OperationKind.ROLLBACK, first, dispatch=False)
    await begin(harness.deps, again, CODE_VERSION)
    await assign_routes(harness.deps, first, again)
    await fail(harness, again, first)
    assert await harness.live() == second
    assert (await harness.environment()).is_rolled_back


async def test_an_older_switch_can_not_overtake_a_newer_one(harness: WorkerHarness) -> None:
    """Recorded first, dispatched last: the fence leaves the newer one's routes alone; the error names what is live."""
    first, second = await two_deployments(harness)
    older = await harness.switch(OperationKind.ROLLBACK, first, dispatch=False)
    third = await harness.deploy(image="c")
    await harness.ended(third, Status.READY)
    await harness.dispatch_switch(older)
    failed = await harness.done(older)
    assert (failed.status, failed.error_code) == (OperationStatus.FAILED, "operation.overtaken")
    assert third in (failed.error_message or "")
    assert await harness.live() == third
    assert not (await harness.environment()).is_rolled_back
    assert second != third


async def test_the_gates_are_asked_again(harness: WorkerHarness) -> None:
    """What was right when it was recorded may be wrong when it runs: a second rollback to what is live by now."""
    first, _ = await two_deployments(harness)
    one = await harness.switch(OperationKind.ROLLBACK, first, dispatch=False)
    two = await harness.switch(OperationKind.ROLLBACK, first, dispatch=False)
    await harness.dispatch_switch(one)
    assert_done(await harness.done(one))
    await harness.dispatch_switch(two)
    refused = await harness.done(two)
    assert (refused.status, refused.error_code) == (OperationStatus.FAILED, "deployment.already_live")
    assert await harness.live() == first


async def test_a_stop(harness: WorkerHarness) -> None:
    """An unrouted deployment stops: first its own hostnames go, then its instances."""
    first, _ = await two_deployments(harness)
    assert_done(await harness.done(await harness.stop(first)))
    assert (await harness.deployment(first)).run_state is RunState.STOPPED
    assert await harness.hostnames(first) == []
    assert await harness.deps.db.read(regions.instances_of, first) == []


async def test_a_stop_of_what_became_live_is_refused(harness: WorkerHarness) -> None:
    """Between the record and the run it was promoted: it keeps running."""
    first, _ = await two_deployments(harness)
    operation_id = await harness.stop(first, dispatch=False)
    assert_done(await harness.done(await harness.switch(OperationKind.ROLLBACK, first)))
    await harness.dispatch_switch(operation_id)
    refused = await harness.done(operation_id)
    assert (refused.status, refused.error_code) == (OperationStatus.FAILED, "deployment.routed")
    assert (await harness.deployment(first)).run_state is RunState.RUNNING


async def test_a_stop_of_what_only_its_branch_points_at(harness: WorkerHarness) -> None:
    """The app of an old branch can be ended: its branch's address goes with it, and the live one stays as it is."""
    old = await harness.deploy(image="a", branch="pr-1")
    await harness.ended(old, Status.READY)
    live = await harness.deploy(image="b", branch="pr-2")
    await harness.ended(live, Status.READY)
    assert (await harness.deployment(old)).run_state is RunState.RUNNING
    assert_done(await harness.done(await harness.stop(old)))
    assert (await harness.deployment(old)).run_state is RunState.STOPPED
    assert await harness.hostnames(old) == []
    assert await harness.live() == live
    assert_done(await harness.done(await harness.switch(OperationKind.PROMOTE, old)))
    assert any("pr-1" in hostname for hostname in await harness.hostnames(old))


async def test_an_app_is_taken_down_and_comes_back(harness: WorkerHarness) -> None:
    """Nothing is served, nothing is rolled back any more; a promote of the same version brings all addresses back."""
    first, second = await two_deployments(harness)
    with pytest.raises(FailedPrecondition, match="sealift stop --live"):
        await harness.stop(second)
    assert_done(await harness.done(await harness.switch(OperationKind.ROLLBACK)))
    served = await harness.hostnames(first)
    assert_done(await harness.done(await harness.stop(first, takes_down=True)))
    assert await harness.live() is None
    assert await harness.hostnames(first) == []
    assert (await harness.deployment(first)).run_state is RunState.STOPPED
    assert not (await harness.environment()).is_rolled_back
    with pytest.raises(FailedPrecondition, match="sealift promote"):
        await harness.switch(OperationKind.ROLLBACK)
    assert_done(await harness.done(await harness.switch(OperationKind.PROMOTE, first)))
    assert await harness.live() == first
    assert set(served) <= set(await harness.hostnames(first))
    third = await harness.deploy(image="c")
    await harness.ended(third, Status.READY)
    assert_done(await harness.done(await harness.switch(OperationKind.ROLLBACK)))
    assert await harness.live() == first


async def test_a_deploy_from_before_a_take_down_leaves_the_app_stopped(harness: WorkerHarness) -> None:
    """It ends ready and says so; a failure after the take-down would change nothing either. A promote makes it live."""
    first, _ = await two_deployments(harness)
    assert_done(await harness.done(await harness.switch(OperationKind.PROMOTE, first)))
    harness.region.behavior.by_default = "starting"
    late = await harness.deploy(image="c")
    await harness.reaches(late, Status.DEPLOYING)
    assert_done(await harness.done(await harness.stop(first, takes_down=True)))
    harness.region.behavior.by_default = "healthy"
    ended = await harness.ended(late, Status.READY)
    assert any("was stopped after this deploy began" in notice for notice in ended.notices_json)
    assert await harness.live() is None
    assert any(late.replace("_", "-") in hostname for hostname in await harness.hostnames(late))
    assert_done(await harness.done(await harness.switch(OperationKind.PROMOTE, late)))
    assert await harness.live() == late


async def test_a_stop_whose_step_is_repeated_is_done(harness: WorkerHarness) -> None:
    """Killed between the commit and its journal entry, the step runs again and finds its own work."""
    first, _ = await two_deployments(harness)
    operation_id = await harness.stop(first, dispatch=False)
    done = await retire_deployment(harness.deps, first, False, 0, operation_id)
    assert done.stopped
    again = await retire_deployment(harness.deps, first, False, 0, operation_id)
    assert again.stopped
