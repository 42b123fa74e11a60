"""What a promote, a rollback and a stop promise, on a real Restate and a real database."""

from pathlib import Path

import pytest

from pkg.deployments.status import RunState, Status
from pkg.errors import FailedPrecondition
from pkg.operations.model import Operation, OperationKind, OperationStatus
from pkg.regions import queries as regions
from pkg.restate.testing import RestateServer
from pkg.workflows.switch import SWITCH
from svc.worker.testing.harness import World, world
from svc.worker.workflows.instances import halt, halt_woken
from svc.worker.workflows.routing.assign import assign_routes
from svc.worker.workflows.routing.retire import retire_deployment
from svc.worker.workflows.routing.undo import undo_routes
from svc.worker.workflows.switch.begin import begin
from svc.worker.workflows.switch.done import write_done
from svc.worker.workflows.switch.ending import end
from svc.worker.workflows.switch.run import CODE_VERSION


async def two_deployments(here: World) -> tuple[str, str]:
    first = await here.deploy(image="a")
    await here.ended(first, Status.READY)
    second = await here.deploy(image="b")
    await here.ended(second, Status.READY)
    return first, second


def assert_done(operation: Operation) -> None:
    assert operation.status is OperationStatus.DONE, f"{operation.error_code}: {operation.error_message}"


async def test_a_rollback_to_a_warm_deployment(here: World) -> None:
    """The one before is live again, running; the bad one goes to standby; the environment is rolled back."""
    first, second = await two_deployments(here)
    assert_done(await here.done(await here.switch(OperationKind.ROLLBACK)))
    assert await here.live() == first
    assert (await here.deployment(first)).run_state is RunState.RUNNING
    assert (await here.deployment(second)).run_state is RunState.RUNNING  # the branch still points at it
    assert (await here.environment()).is_rolled_back


async def test_after_a_rollback_deploys_wait_for_a_promote(here: World) -> None:
    """A new deploy becomes ready but takes no live route, and says what to do; a promote makes it live."""
    first, _ = await two_deployments(here)
    assert_done(await here.done(await here.switch(OperationKind.ROLLBACK)))
    third = await here.deploy(image="c")
    ended = await here.ended(third, Status.READY)
    assert ended.notices_json == ["environment is rolled back: promote this deployment to make it live"]
    assert await here.live() == first
    assert_done(await here.done(await here.switch(OperationKind.PROMOTE, third)))
    assert await here.live() == third
    assert not (await here.environment()).is_rolled_back
    assert (await here.deployment(first)).run_state is RunState.STANDBY


async def test_a_rollback_to_a_stopped_deployment_starts_it_first(
    restate_server: RestateServer, tmp_path: Path
) -> None:
    """Its instances run and are healthy before a route moves; its own hostnames come back with it."""
    async with world(restate_server, tmp_path, standby_ttl_s=0) as here:
        first, second = await two_deployments(here)
        stopped = await here.in_run_state(first, RunState.STOPPED)
        assert await here.hostnames(first) == []
        here.region.score.by_default = "starting"
        operation_id = await here.switch(OperationKind.ROLLBACK, first)
        await here.in_run_state(first, RunState.STARTING)
        await here.until(lambda: here.deps.db.read(regions.instances_of, first), "an instance starts")
        assert await here.live() == second
        here.region.score.by_default = "healthy"
        here.region.changed()
        assert_done(await here.done(operation_id))
        assert await here.live() == first
        assert any("-dep-" in hostname for hostname in await here.hostnames(first))
        topologies = await here.deps.db.read(regions.topologies_of, first)
        assert [(t.image_ref, t.stopped) for t in topologies] == [(stopped.image_ref, False)]


async def test_a_cold_target_that_fails_changes_nothing(restate_server: RestateServer, tmp_path: Path) -> None:
    """The operation fails with the app's last words; what is live stays; the target is stopped again."""
    async with world(restate_server, tmp_path, standby_ttl_s=0) as here:
        first, second = await two_deployments(here)
        await here.in_run_state(first, RunState.STOPPED)
        here.region.score.of[first] = "failed"
        failed = await here.done(await here.switch(OperationKind.ROLLBACK, first))
        assert (failed.status, failed.error_code) == (OperationStatus.FAILED, "instance.failed")
        assert "boom" in (failed.error_message or "")
        await here.in_run_state(first, RunState.STOPPED)
        assert await here.live() == second
        assert not (await here.environment()).is_rolled_back


async def test_a_switch_that_fails_stops_nothing_that_another_made_live(here: World) -> None:
    """Two on their way to one cold deployment, the older is overtaken by a deploy: the newer one's live app runs on."""
    cold, _ = await two_deployments(here)
    assert_done(await here.done(await here.stop(cold)))
    here.region.score.of[cold] = "starting"
    older = await here.switch(OperationKind.ROLLBACK, cold)
    await here.in_run_state(cold, RunState.STARTING)
    third = await here.deploy(image="c")
    await here.ended(third, Status.READY)
    newer = await here.switch(OperationKind.PROMOTE, cold)
    await here.until(lambda: is_running(here, newer), "the newer one has begun")
    here.region.score.of[cold] = "healthy"
    here.region.changed()
    await here.done(older)
    assert_done(await here.done(newer))
    for operation_id in (older, newer):
        await here.workflow_over(SWITCH, operation_id)
    assert await here.live() == cold
    assert (await here.deployment(cold)).run_state is RunState.RUNNING
    assert [t.stopped for t in await here.deps.db.read(regions.topologies_of, cold)] == [False]


async def test_what_a_failed_switch_stops_leaves_no_route(here: World) -> None:
    """Its own hostnames came back with an earlier switch to it, whose fence is not the failed one's."""
    cold, second = await two_deployments(here)
    assert_done(await here.done(await here.stop(cold)))
    assert_done(await here.done(await here.switch(OperationKind.ROLLBACK, cold)))
    assert_done(await here.done(await here.switch(OperationKind.PROMOTE, second)))
    assert await here.hostnames(cold)
    overtaken = await here.switch(OperationKind.ROLLBACK, cold, dispatch=False)
    assert (await halt_woken(here.deps, cold, overtaken)).stopping
    assert await here.hostnames(cold) == []


async def is_running(here: World, operation_id: str) -> bool:
    return (await here.operation(operation_id)).status is OperationStatus.RUNNING


async def test_of_two_switches_that_fail_one_stops_what_they_woke(here: World) -> None:
    """Each leaves it to the newer one; the newest stops it."""
    cold, second = await two_deployments(here)
    assert_done(await here.done(await here.stop(cold)))
    here.region.score.of[cold] = "starting"
    both = [await here.switch(OperationKind.ROLLBACK, cold), await here.switch(OperationKind.ROLLBACK, cold)]
    for operation_id in both:
        await here.until(lambda one=operation_id: is_running(here, one), "it has begun")  # type: ignore[misc]
    here.region.score.of[cold] = "failed"
    here.region.changed()
    assert [(await here.done(one)).status for one in both] == [OperationStatus.FAILED] * 2
    await here.in_run_state(cold, RunState.STOPPED)
    assert await here.live() == second


async def test_a_switch_whose_target_was_stopped_ends_at_once(here: World) -> None:
    """A newer switch to it failed first and stopped it: the older does not wait for instances that nobody starts."""
    cold, second = await two_deployments(here)
    assert_done(await here.done(await here.stop(cold)))
    here.region.score.of[cold] = "starting"
    operation_id = await here.switch(OperationKind.ROLLBACK, cold)
    await here.in_run_state(cold, RunState.STARTING)
    await halt(here.deps, cold)
    failed = await here.done(operation_id)
    assert (failed.status, failed.error_code) == (OperationStatus.FAILED, "operation.overtaken")
    assert await here.live() == second


async def test_a_switch_that_is_not_applied_is_undone(restate_server: RestateServer, tmp_path: Path) -> None:
    """Routes, the rolled-back mark and the run states are as before; the reason names the region."""
    async with world(restate_server, tmp_path, route_timeout_s=1) as here:
        first, second = await two_deployments(here)
        here.region.score.applies = False
        failed = await here.done(await here.switch(OperationKind.ROLLBACK))
        assert (failed.status, failed.error_code) == (OperationStatus.FAILED, "route.not_applied")
        assert "region local" in (failed.error_message or "")
        assert await here.live() == second
        assert not (await here.environment()).is_rolled_back
        assert (await here.deployment(second)).run_state is RunState.RUNNING
        assert (await here.deployment(first)).run_state is RunState.STANDBY


async def two_switches_took(here: World) -> tuple[str, str, str, str]:
    """Two rollbacks to one deployment that both took the routes: what was live, the target, the older, the newer."""
    first, second = await two_deployments(here)
    older, newer = [await here.switch(OperationKind.ROLLBACK, first, dispatch=False) for _ in range(2)]
    for operation_id in (older, newer):
        assert not (await begin(here.deps, operation_id, CODE_VERSION)).is_over
    for operation_id in (older, newer):
        assert (await assign_routes(here.deps, first, operation_id)).taken
    return second, first, older, newer


async def fail(here: World, operation_id: str, target: str) -> None:
    """What a switch to a warm target does that is not applied."""
    await undo_routes(here.deps, target, operation_id)
    assert (await end(here.deps, operation_id)).status == OperationStatus.FAILED


async def test_of_two_switches_the_newer_gives_back_to_the_older(here: World) -> None:
    """Both moved the routes to one target and the newer is not applied: the older one's success stands."""
    _, target, older, newer = await two_switches_took(here)
    await fail(here, newer, target)
    await write_done(here.deps, older)
    assert await here.live() == target
    assert (await here.deployment(target)).run_state is RunState.RUNNING
    assert (await here.environment()).is_rolled_back


@pytest.mark.parametrize("first_to_fail", ["older", "newer"])
async def test_of_two_switches_that_fail_nothing_stays(here: World, first_to_fail: str) -> None:
    """In either order, what was live before both is live again."""
    was_live, target, older, newer = await two_switches_took(here)
    for operation_id in (older, newer) if first_to_fail == "older" else (newer, older):
        await fail(here, operation_id, target)
    assert await here.live() == was_live
    assert (await here.deployment(was_live)).run_state is RunState.RUNNING
    assert (await here.deployment(target)).run_state is RunState.STANDBY
    assert not (await here.environment()).is_rolled_back


async def test_a_rollback_undone_in_a_rolled_back_environment_leaves_it_so(here: World) -> None:
    """The mark says what made live what is live: the first rollback, which stands."""
    first, second = await two_deployments(here)
    third = await here.deploy(image="c")
    await here.ended(third, Status.READY)
    assert_done(await here.done(await here.switch(OperationKind.ROLLBACK)))
    assert await here.live() == second
    again = await here.switch(OperationKind.ROLLBACK, first, dispatch=False)
    await begin(here.deps, again, CODE_VERSION)
    await assign_routes(here.deps, first, again)
    await fail(here, again, first)
    assert await here.live() == second
    assert (await here.environment()).is_rolled_back


async def test_an_older_switch_can_not_overtake_a_newer_one(here: World) -> None:
    """Recorded first, dispatched last: the fence leaves the newer one's routes alone, and it says who is live."""
    first, second = await two_deployments(here)
    older = await here.switch(OperationKind.ROLLBACK, first, dispatch=False)
    third = await here.deploy(image="c")
    await here.ended(third, Status.READY)
    await here.dispatch_switch(older)
    failed = await here.done(older)
    assert (failed.status, failed.error_code) == (OperationStatus.FAILED, "operation.overtaken")
    assert third in (failed.error_message or "")
    assert await here.live() == third
    assert not (await here.environment()).is_rolled_back
    assert second != third


async def test_the_gates_are_asked_again(here: World) -> None:
    """What was right when it was recorded may be wrong when it runs: a second rollback to what is live by now."""
    first, _ = await two_deployments(here)
    one = await here.switch(OperationKind.ROLLBACK, first, dispatch=False)
    two = await here.switch(OperationKind.ROLLBACK, first, dispatch=False)
    await here.dispatch_switch(one)
    assert_done(await here.done(one))
    await here.dispatch_switch(two)
    refused = await here.done(two)
    assert (refused.status, refused.error_code) == (OperationStatus.FAILED, "deployment.already_live")
    assert await here.live() == first


async def test_a_stop(here: World) -> None:
    """An unrouted deployment stops: first its own hostnames go, then its instances."""
    first, _ = await two_deployments(here)
    assert_done(await here.done(await here.stop(first)))
    assert (await here.deployment(first)).run_state is RunState.STOPPED
    assert await here.hostnames(first) == []
    assert await here.deps.db.read(regions.instances_of, first) == []


async def test_a_stop_of_what_became_live_is_refused(here: World) -> None:
    """Between the record and the run it was promoted: it keeps running."""
    first, _ = await two_deployments(here)
    operation_id = await here.stop(first, dispatch=False)
    assert_done(await here.done(await here.switch(OperationKind.ROLLBACK, first)))
    await here.dispatch_switch(operation_id)
    refused = await here.done(operation_id)
    assert (refused.status, refused.error_code) == (OperationStatus.FAILED, "deployment.routed")
    assert (await here.deployment(first)).run_state is RunState.RUNNING


async def test_a_stop_of_what_only_its_branch_points_at(here: World) -> None:
    """The app of an old branch can be ended: its branch's address goes with it, and the live one stays as it is."""
    old = await here.deploy(image="a", branch="pr-1")
    await here.ended(old, Status.READY)
    live = await here.deploy(image="b", branch="pr-2")
    await here.ended(live, Status.READY)
    assert (await here.deployment(old)).run_state is RunState.RUNNING
    assert_done(await here.done(await here.stop(old)))
    assert (await here.deployment(old)).run_state is RunState.STOPPED
    assert await here.hostnames(old) == []
    assert await here.live() == live
    assert_done(await here.done(await here.switch(OperationKind.PROMOTE, old)))
    assert any("pr-1" in hostname for hostname in await here.hostnames(old))


async def test_an_app_is_taken_down_and_comes_back(here: World) -> None:
    """Nothing is served, nothing is rolled back any more; a promote of the same version brings all addresses back."""
    first, second = await two_deployments(here)
    with pytest.raises(FailedPrecondition, match="sealift stop --live"):
        await here.stop(second)
    assert_done(await here.done(await here.switch(OperationKind.ROLLBACK)))
    served = await here.hostnames(first)
    assert_done(await here.done(await here.stop(first, takes_down=True)))
    assert await here.live() is None
    assert await here.hostnames(first) == []
    assert (await here.deployment(first)).run_state is RunState.STOPPED
    assert not (await here.environment()).is_rolled_back
    with pytest.raises(FailedPrecondition, match="sealift promote"):
        await here.switch(OperationKind.ROLLBACK)
    assert_done(await here.done(await here.switch(OperationKind.PROMOTE, first)))
    assert await here.live() == first
    assert set(served) <= set(await here.hostnames(first))
    third = await here.deploy(image="c")
    await here.ended(third, Status.READY)
    assert_done(await here.done(await here.switch(OperationKind.ROLLBACK)))
    assert await here.live() == first


async def test_a_stop_whose_step_is_repeated_is_done(here: World) -> None:
    """Killed between the commit and its journal entry, the step runs again and finds its own work."""
    first, _ = await two_deployments(here)
    operation_id = await here.stop(first, dispatch=False)
    done = await retire_deployment(here.deps, first, False, 0, operation_id)
    assert done.stopped
    again = await retire_deployment(here.deps, first, False, 0, operation_id)
    assert again.stopped
