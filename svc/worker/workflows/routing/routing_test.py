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
from svc.worker.testing.harness import World, world
from svc.worker.workflows.retention.sweep import sweep
from svc.worker.workflows.switch.switch_test import assert_done, two_deployments


async def retire(here: World, deployment_id: str, *, only_standby: bool = True, run_state_at: int = 0) -> None:
    """Sends it, and returns once it has been worked off: the object takes one at a time."""
    request = RetireRequest(deployment_id=deployment_id, only_standby=only_standby, run_state_at=run_state_at)
    await here.deps.restate.send(ROUTING_RETIRE, here.environment_id, request)
    await here.queue_is_empty("Routing", here.environment_id)


async def test_standby_ends_by_itself(restate_server: RestateServer, tmp_path: Path) -> None:
    """A replaced deployment stops when its time on standby is over; the live one runs on."""
    async with world(restate_server, tmp_path, standby_ttl_s=1) as here:
        first, second = await two_deployments(here)
        assert (await here.deployment(first)).run_state is RunState.STANDBY
        await here.in_run_state(first, RunState.STOPPED)
        assert (await here.deployment(second)).run_state is RunState.RUNNING


async def test_a_ready_deployment_without_a_shared_hostname_stops(
    restate_server: RestateServer, tmp_path: Path
) -> None:
    """It became ready late, nobody points at it: after a while it stops."""
    async with world(restate_server, tmp_path, unrouted_ttl_s=1) as here:
        here.region.score.by_default = "starting"
        older = await here.deploy(image="a")
        await here.reaches(older, Status.DEPLOYING)
        newer = await here.deploy(image="b")
        here.region.score.of[newer] = "healthy"
        here.region.changed()
        await here.ended(newer, Status.READY)
        here.region.score.by_default = "healthy"
        here.region.changed()
        await here.ended(older, Status.READY)
        await here.in_run_state(older, RunState.STOPPED)
        assert await here.live() == newer


async def test_an_expiry_that_comes_late_changes_nothing(here: World) -> None:
    """The message was for a standby that is over: routed again, or on standby again but later."""
    first, _ = await two_deployments(here)
    then = (await here.deployment(first)).run_state_at
    assert_done(await here.done(await here.switch(OperationKind.ROLLBACK, first)))
    await retire(here, first, run_state_at=then)
    await retire(here, first, only_standby=False)
    assert (await here.deployment(first)).run_state is RunState.RUNNING
    third = await here.deploy(image="c")
    await here.ended(third, Status.READY)
    assert_done(await here.done(await here.switch(OperationKind.PROMOTE, third)))
    again = await here.deployment(first)
    assert again.run_state is RunState.STANDBY
    await retire(here, first, run_state_at=then)
    assert (await here.deployment(first)).run_state is RunState.STANDBY
    await retire(here, first, run_state_at=again.run_state_at)
    await here.in_run_state(first, RunState.STOPPED)


async def test_nothing_stops_while_a_switch_may_need_it(here: World) -> None:
    """A deploy that is taking the routes may have to give them back: retiring waits for its end."""
    first, _ = await two_deployments(here)
    standby = await here.deployment(first)
    here.region.score.applies = False
    third = await here.deploy(image="c")
    await here.reaches(third, Status.NETWORK)
    await retire(here, first, run_state_at=standby.run_state_at)
    assert (await here.deployment(first)).run_state is RunState.STANDBY
    here.region.score.applies = True
    here.region.changed()
    await here.ended(third, Status.READY)
    await here.in_run_state(first, RunState.STOPPED)


async def test_the_sweep_finds_what_was_lost(restate_server: RestateServer, tmp_path: Path) -> None:
    """A delayed message that never came; and archives whose time is over go."""
    async with world(restate_server, tmp_path) as here:
        first, _ = await two_deployments(here)
        archive = await here.deploy(branch="c")
        await here.ended(archive, Status.READY)
        path = (await here.built((await here.deployment(archive)).build_id)).build_context_path
        assert await here.deps.store.head(path) is not None
        await here.deps.db.write(lambda c: c.execute(update(contexts).values(expires_at=1)))
        later = here.later(ms=here.deps.config.deploy.standby_ttl_s * 1000 + 120_000)
        await sweep(later.deps)
        await here.in_run_state(first, RunState.STOPPED)
        assert await here.deps.store.head(path) is None


async def test_the_sweep_stops_what_a_lost_switch_has_woken(here: World) -> None:
    """Instances that were started for a switch which ended without a word do not run for ever; others are awaited."""
    cold, _ = await two_deployments(here)
    assert_done(await here.done(await here.stop(cold)))
    here.region.score.of[cold] = "starting"
    operation_id = await here.switch(OperationKind.ROLLBACK, cold)
    woken = await here.in_run_state(cold, RunState.STARTING)
    later = here.later(ms=here.deps.config.deploy.unrouted_ttl_s * 1000 + 120_000)
    await sweep(later.deps)
    await here.queue_is_empty("Routing", here.environment_id)
    assert (await here.deployment(cold)).run_state is RunState.STARTING

    def lose(connection: Connection) -> None:
        assert operations.end(connection, operation_id, OperationStatus.FAILED, woken.run_state_at)

    await here.deps.db.write(lose)
    await sweep(later.deps)
    await here.in_run_state(cold, RunState.STOPPED)


async def test_settling_waits_for_the_last_instance(here: World) -> None:
    """`stopped` is said only once no region reports an instance."""
    first, _ = await two_deployments(here)
    await here.freeze_region()
    await retire(here, first)
    assert (await here.deployment(first)).run_state is RunState.STOPPING
    await here.deps.restate.send(ROUTING_CONFIRM_STOPPED, here.environment_id, SettleRequest(deployment_id=first))
    await here.queue_is_empty("Routing", here.environment_id)
    assert (await here.deployment(first)).run_state is RunState.STOPPING
    async with asyncio.TaskGroup() as tasks:
        playing = tasks.create_task(here.region.play())
        await here.in_run_state(first, RunState.STOPPED)
        playing.cancel()
