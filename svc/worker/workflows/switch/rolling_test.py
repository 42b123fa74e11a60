"""What a scale and a restart promise, on a real Restate and a real database."""

import pytest
from sqlalchemy import Connection

from pkg.clock import now_ms
from pkg.deployments.settings import Settings
from pkg.deployments.status import RunState, Status
from pkg.desired.capabilities import APP_RESTART, BASELINE
from pkg.errors import FailedPrecondition
from pkg.operations import queries as operations
from pkg.operations.model import OperationKind, OperationStatus
from pkg.regions import queries as regions
from pkg.workflows.switch import SWITCH
from svc.worker.testing.harness import WorkerHarness
from svc.worker.testing.scenario import assert_done, two_deployments
from svc.worker.workflows.switch.record import begin
from svc.worker.workflows.switch.rolling import observe_rolled, take_back, tell_regions
from svc.worker.workflows.switch.workflow import CODE_VERSION


async def numbers(harness: WorkerHarness, deployment_id: str) -> list[tuple[int, int]]:
    """(replica, restart generation) of what the region reports."""
    found = await harness.deps.db.read(regions.instances_of, deployment_id)
    return [(one.replica, one.restart_generation) for one in found if one.state == "healthy"]


async def count(harness: WorkerHarness, deployment_id: str) -> int:
    return len(await numbers(harness, deployment_id))


async def one_live(harness: WorkerHarness) -> str:
    live = await harness.deploy(image="a")
    await harness.ended(live, Status.READY)
    await harness.region.register(capabilities=BASELINE | {APP_RESTART})
    return live


async def test_a_number_is_the_environments(harness: WorkerHarness) -> None:
    """More, then fewer; deploys, rollbacks and promotes keep the number, as do what is warm and what is started."""
    first, second = await two_deployments(harness)
    assert_done(await harness.done(await harness.scale(3)))
    assert await count(harness, second) == 3
    await harness.until(lambda: _is(harness, first, 3), "what is warm follows")
    third = await harness.deploy(image="c", settings=Settings(replicas=1))
    await harness.ended(third, Status.READY)
    assert await count(harness, third) == 3
    assert_done(await harness.done(await harness.switch(OperationKind.ROLLBACK)))
    assert await harness.live() == second
    assert await count(harness, second) == 3
    assert_done(await harness.done(await harness.switch(OperationKind.PROMOTE, third)))
    assert_done(await harness.done(await harness.scale(1)))
    assert await count(harness, third) == 1
    assert (await harness.environment()).replicas == 1


async def _is(harness: WorkerHarness, deployment_id: str, number: int) -> bool:
    return await count(harness, deployment_id) == number


async def test_more_that_fail_are_taken_back(harness: WorkerHarness) -> None:
    """The operation fails with the app's reason, and the number is again what it was."""
    live = await one_live(harness)
    assert_done(await harness.done(await harness.scale(2)))
    harness.region.behavior.of[live] = "failed"
    failed = await harness.done(await harness.scale(4))
    assert (failed.status, failed.error_code) == (OperationStatus.FAILED, "instance.failed")
    assert "not scaled to 4: it exited at once. It keeps the number" in (failed.error_message or "")
    assert (await harness.environment()).replicas == 2


async def test_fewer_of_what_fails(harness: WorkerHarness) -> None:
    """An app whose instances fail can still be made smaller."""
    live = await one_live(harness)
    assert_done(await harness.done(await harness.scale(3)))
    harness.region.behavior.of[live] = "failed"
    harness.region.changed()
    assert_done(await harness.done(await harness.scale(1)))


async def test_of_two_scales_the_later_wins(harness: WorkerHarness) -> None:
    """Also when the older one is dispatched last, or waits for instances meanwhile."""
    live = await one_live(harness)
    older = await harness.scale(2, dispatch=False)
    assert_done(await harness.done(await harness.scale(3)))
    await harness.dispatch_switch(older)
    overtaken = await harness.done(older)
    assert (overtaken.status, overtaken.error_code) == (OperationStatus.FAILED, "operation.overtaken")
    assert (await harness.environment()).replicas == 3
    harness.region.behavior.of[live] = "starting"
    waiting = await harness.scale(5)
    await harness.until(lambda: _is_wanted(harness, 5), "it has begun")
    assert_done(await harness.done(await harness.scale(2)))
    assert (await harness.done(waiting)).error_code == "operation.overtaken"
    harness.region.behavior.of[live] = "healthy"
    harness.region.changed()
    await harness.until(lambda: _is(harness, live, 2), "the newer number runs")


async def _is_wanted(harness: WorkerHarness, number: int) -> bool:
    return (await harness.environment()).replicas == number


async def test_the_newer_of_two_scales_fails(harness: WorkerHarness) -> None:
    """What the older one set comes back, or what was before both if that failed, too."""
    await one_live(harness)
    older, newer = [await harness.scale(number, dispatch=False) for number in (2, 5)]
    for operation_id in (older, newer):
        await begin(harness.deps, operation_id, CODE_VERSION)
        await tell_regions(harness.deps, operation_id)
    assert (await harness.environment()).replicas == 5
    await take_back(harness.deps, newer)
    await take_back(harness.deps, newer)
    assert (await harness.environment()).replicas == 2
    await harness.deps.db.write(lambda c: operations.end(c, newer, OperationStatus.FAILED, now_ms()))
    await take_back(harness.deps, older)
    assert (await harness.environment()).replicas is None


async def test_a_scale_during_a_deploy(harness: WorkerHarness) -> None:
    """Both end right: the deploy becomes live with the new number."""
    live = await one_live(harness)
    harness.region.behavior.by_default = "starting"
    harness.region.behavior.of[live] = "healthy"
    deploying = await harness.deploy(image="c")
    await harness.reaches(deploying, Status.DEPLOYING)
    assert_done(await harness.done(await harness.scale(2)))
    assert await count(harness, live) == 2
    harness.region.behavior.by_default = "healthy"
    harness.region.changed()
    await harness.ended(deploying, Status.READY)
    assert await count(harness, deploying) == 2


async def test_a_restart(harness: WorkerHarness) -> None:
    """Every instance is made for it; a second one makes them again; a deployment that was not named stays."""
    first, second = await two_deployments(harness)
    await harness.region.register(capabilities=BASELINE | {APP_RESTART})
    operation_id = await harness.restart(second)
    done = await harness.done(operation_id)
    assert_done(done)
    assert await numbers(harness, second) == [(0, done.seq)]
    assert await numbers(harness, first) == [(0, 0)]
    again = await harness.done(await harness.restart(second))
    assert_done(again)
    assert await numbers(harness, second) == [(0, again.seq)]
    assert again.seq > done.seq


async def test_a_restart_that_fails_is_taken_back(harness: WorkerHarness) -> None:
    """The regions make no instance again for it any more, and the next restart is another one."""
    live = await one_live(harness)
    harness.region.behavior.of[live] = "failed"
    failed = await harness.done(await harness.restart(live))
    assert (failed.status, failed.error_code) == (OperationStatus.FAILED, "instance.failed")
    assert "was not restarted: it exited at once" in (failed.error_message or "")
    assert (await harness.deployment(live)).restart_generation == 0
    harness.region.behavior.of[live] = "healthy"
    assert_done(await harness.done(await harness.restart(live)))


async def test_a_restart_of_what_is_being_promoted(harness: WorkerHarness) -> None:
    """What a promote is starting can be restarted; both end right."""
    first, _ = await two_deployments(harness)
    await harness.region.register(capabilities=BASELINE | {APP_RESTART})
    assert_done(await harness.done(await harness.stop(first)))
    with pytest.raises(FailedPrecondition, match="nothing to restart"):
        await harness.restart(first)
    harness.region.behavior.of[first] = "starting"
    promoting = await harness.switch(OperationKind.PROMOTE, first)
    await harness.in_run_state(first, RunState.STARTING)
    restarting = await harness.restart(first)
    harness.region.behavior.of[first] = "healthy"
    harness.region.changed()
    assert_done(await harness.done(promoting))
    done = await harness.done(restarting)
    assert_done(done)
    assert await harness.live() == first
    assert await numbers(harness, first) == [(0, done.seq)]


async def test_a_stop_ends_a_restart(harness: WorkerHarness) -> None:
    """It does not wait for instances that never come."""
    first, _ = await two_deployments(harness)
    await harness.region.register(capabilities=BASELINE | {APP_RESTART})
    harness.region.behavior.of[first] = "starting"
    harness.region.changed()
    restarting = await harness.restart(first)
    await harness.until(lambda: _is_restarting(harness, first), "it has begun")
    assert_done(await harness.done(await harness.stop(first)))
    failed = await harness.done(restarting)
    assert (failed.error_code, "stopped meanwhile" in (failed.error_message or "")) == ("operation.overtaken", True)


async def _is_restarting(harness: WorkerHarness, deployment_id: str) -> bool:
    return (await harness.deployment(deployment_id)).restart_generation > 0


async def test_a_krane_that_can_not_restart_is_named(harness: WorkerHarness) -> None:
    """An older one would keep what runs, and the operation would wait for nothing."""
    live = await harness.deploy(image="a")
    await harness.ended(live, Status.READY)
    await harness.region.register(capabilities=BASELINE)
    with pytest.raises(FailedPrecondition, match=APP_RESTART):
        await harness.restart(live)


async def test_a_step_that_is_repeated_does_the_same(harness: WorkerHarness) -> None:
    """Killed between a commit and its journal entry."""
    live = await one_live(harness)
    operation_id = await harness.scale(2, dispatch=False)
    await begin(harness.deps, operation_id, CODE_VERSION)
    told = await tell_regions(harness.deps, operation_id)
    again = await tell_regions(harness.deps, operation_id)
    assert (told.timeout_s, told.is_less) == (again.timeout_s, again.is_less)
    await harness.until(lambda: _is(harness, live, 2), "the region follows")
    assert (await observe_rolled(harness.deps, operation_id)).outcome == "done"


async def test_a_scale_that_was_lost_is_taken_back(harness: WorkerHarness) -> None:
    """Restate forgot it: the reconciler ends it, and nothing of it stays."""
    await one_live(harness)
    operation_id = await harness.scale(4, dispatch=False)
    await begin(harness.deps, operation_id, CODE_VERSION)
    await tell_regions(harness.deps, operation_id)

    def lose(connection: Connection) -> None:
        assert SWITCH.end_lost(connection, operation_id, now_ms()) is not None

    await harness.deps.db.write(lose)
    assert (await harness.environment()).replicas is None
