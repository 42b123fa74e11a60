"""When deployments that lost their routes stop, on a real Restate and a real database."""

import asyncio
from pathlib import Path

from sqlalchemy import Connection, update

from pkg.builds.tables import contexts
from pkg.deployments.status import RunState, Status
from pkg.operations import queries as operations
from pkg.operations.model import OperationKind, OperationStatus
from pkg.restate.testing import RestateServer
from pkg.workflows.objects import ROUTING_CONFIRM_STOPPED, ROUTING_RETIRE
from sealift.workflow.v1.workflow_pb2 import RetireRequest, SettleRequest
from svc.worker.testing.harness import WorkerHarness, worker_harness
from svc.worker.testing.scenario import assert_done, two_deployments
from svc.worker.workflows.retention.sweep import sweep, tasks_of


async def retire(
    harness: WorkerHarness, deployment_id: str, *, only_standby: bool = True, run_state_at: int = 0
) -> None:
    """Sends it, and returns once it has been worked off: the object takes one at a time."""
    request = RetireRequest(deployment_id=deployment_id, only_standby=only_standby, run_state_at=run_state_at)
    await harness.deps.restate.send(ROUTING_RETIRE, harness.environment_id, request)
    await harness.queue_is_empty("Routing", harness.environment_id)


async def test_standby_ends_by_itself(restate_server: RestateServer, tmp_path: Path) -> None:
    """A replaced deployment stops at the end of its time on standby; the live one keeps running."""
    async with worker_harness(restate_server, tmp_path, standby_ttl_s=1) as harness:
        first, second = await two_deployments(harness)
        assert (await harness.deployment(first)).run_state is RunState.STANDBY
        await harness.in_run_state(first, RunState.STOPPED)
        assert (await harness.deployment(second)).run_state is RunState.RUNNING


async def test_a_ready_deployment_without_a_shared_hostname_stops(
    restate_server: RestateServer, tmp_path: Path
) -> None:
    """It became ready late and no hostname points at it: after a while it stops."""
    async with worker_harness(restate_server, tmp_path, unrouted_ttl_s=1) as harness:
        harness.region.behavior.by_default = "starting"
        older = await harness.deploy(image="a")
        await harness.reaches(older, Status.DEPLOYING)
        newer = await harness.deploy(image="b")
        harness.region.behavior.of[newer] = "healthy"
        harness.region.changed()
        await harness.ended(newer, Status.READY)
        harness.region.behavior.by_default = "healthy"
        harness.region.changed()
        await harness.ended(older, Status.READY)
        await harness.in_run_state(older, RunState.STOPPED)
        assert await harness.live() == newer


async def test_an_expiry_that_comes_late_changes_nothing(harness: WorkerHarness) -> None:
    """The delayed call was for an earlier standby: since then it was routed, or went on standby again."""
    first, _ = await two_deployments(harness)
    then = (await harness.deployment(first)).run_state_at
    assert_done(await harness.done(await harness.switch(OperationKind.ROLLBACK, first)))
    await retire(harness, first, run_state_at=then)
    await retire(harness, first, only_standby=False)
    assert (await harness.deployment(first)).run_state is RunState.RUNNING
    third = await harness.deploy(image="c")
    await harness.ended(third, Status.READY)
    assert_done(await harness.done(await harness.switch(OperationKind.PROMOTE, third)))
    again = await harness.deployment(first)
    assert again.run_state is RunState.STANDBY
    await retire(harness, first, run_state_at=then)
    assert (await harness.deployment(first)).run_state is RunState.STANDBY
    await retire(harness, first, run_state_at=again.run_state_at)
    await harness.in_run_state(first, RunState.STOPPED)


async def test_nothing_stops_while_a_switch_may_need_it(harness: WorkerHarness) -> None:
    """A deploy that is taking the routes may have to give them back: retiring waits until it has ended."""
    first, _ = await two_deployments(harness)
    standby = await harness.deployment(first)
    harness.region.behavior.applies = False
    third = await harness.deploy(image="c")
    await harness.reaches(third, Status.NETWORK)
    await retire(harness, first, run_state_at=standby.run_state_at)
    assert (await harness.deployment(first)).run_state is RunState.STANDBY
    harness.region.behavior.applies = True
    harness.region.changed()
    await harness.ended(third, Status.READY)
    await harness.in_run_state(first, RunState.STOPPED)


async def test_the_sweep_finds_what_was_lost(restate_server: RestateServer, tmp_path: Path) -> None:
    """A delayed message that never came is replaced by the sweep; expired archives are deleted."""
    async with worker_harness(restate_server, tmp_path) as harness:
        first, _ = await two_deployments(harness)
        archive = await harness.deploy(branch="c")
        await harness.ended(archive, Status.READY)
        path = (await harness.built((await harness.deployment(archive)).build_id)).build_context_path
        assert await harness.deps.store.head(path) is not None
        await harness.deps.db.write(lambda c: c.execute(update(contexts).values(expires_at=1)))
        later = harness.later(ms=harness.deps.config.deploy.standby_ttl_s * 1000 + 120_000)
        await sweep(tasks_of(later.deps))
        await harness.in_run_state(first, RunState.STOPPED)
        assert await harness.deps.store.head(path) is None


async def test_the_sweep_stops_what_a_lost_switch_has_woken(harness: WorkerHarness) -> None:
    """Instances started for a switch that was lost do not run for ever; those of a switch in flight stay."""
    cold, _ = await two_deployments(harness)
    assert_done(await harness.done(await harness.stop(cold)))
    harness.region.behavior.of[cold] = "starting"
    operation_id = await harness.switch(OperationKind.ROLLBACK, cold)
    woken = await harness.in_run_state(cold, RunState.STARTING)
    later = harness.later(ms=harness.deps.config.deploy.unrouted_ttl_s * 1000 + 120_000)
    await sweep(tasks_of(later.deps))
    await harness.queue_is_empty("Routing", harness.environment_id)
    assert (await harness.deployment(cold)).run_state is RunState.STARTING

    def lose(connection: Connection) -> None:
        assert operations.end(connection, operation_id, OperationStatus.FAILED, woken.run_state_at)

    await harness.deps.db.write(lose)
    await sweep(tasks_of(later.deps))
    await harness.in_run_state(cold, RunState.STOPPED)


async def test_settling_waits_for_the_last_instance(harness: WorkerHarness) -> None:
    """A deployment is `stopped` only once no region reports an instance."""
    first, _ = await two_deployments(harness)
    await harness.freeze_region()
    await retire(harness, first)
    assert (await harness.deployment(first)).run_state is RunState.STOPPING
    await harness.deps.restate.send(ROUTING_CONFIRM_STOPPED, harness.environment_id, SettleRequest(deployment_id=first))
    await harness.queue_is_empty("Routing", harness.environment_id)
    assert (await harness.deployment(first)).run_state is RunState.STOPPING
    async with asyncio.TaskGroup() as tasks:
        region_task = tasks.create_task(harness.region.run())
        await harness.in_run_state(first, RunState.STOPPED)
        region_task.cancel()
