"""What deploys, switches, scales and restarts do to processes beside web, on a real Restate and a real database."""

from dataclasses import replace

import pytest

from pkg.clock import now_ms
from pkg.deployments.settings import Settings
from pkg.deployments.status import RunState, Status
from pkg.desired.capabilities import APP_PROCESSES, APP_RESTART, BASELINE
from pkg.desired.processes import Process
from pkg.errors import FailedPrecondition
from pkg.operations.model import OperationKind, OperationStatus
from pkg.regions import queries as regions
from pkg.workflows.switch import SWITCH
from svc.worker.testing.harness import WorkerHarness, quick
from svc.worker.testing.scenario import assert_done
from svc.worker.workflows.switch.processes import start, stop_unless_live
from svc.worker.workflows.switch.record import begin
from svc.worker.workflows.switch.workflow import CODE_VERSION


def with_worker(**process: object) -> Settings:
    """An app with a worker."""
    worker = Process(**{"name": "worker", "command": ("work",), **process})  # type: ignore[arg-type]
    return replace(quick(), processes=(worker,))


async def running(harness: WorkerHarness, deployment_id: str, process: str = "worker") -> int:
    """How many healthy instances of a process the region reports."""
    found = await harness.deps.db.read(regions.instances_of, deployment_id)
    return sum(one.process == process and one.state == "healthy" for one in found)


async def until(harness: WorkerHarness, deployment_id: str, number: int) -> None:
    """Waits until so many workers run."""

    async def is_so() -> bool:
        return await running(harness, deployment_id) == number

    await harness.until(is_so, f"{number} workers of {deployment_id} run")


@pytest.fixture
async def region(harness: WorkerHarness) -> WorkerHarness:
    """Its region knows processes and restarts."""
    await harness.region.register(capabilities=BASELINE | {APP_RESTART, APP_PROCESSES})
    return harness


async def live_and_standby(harness: WorkerHarness) -> tuple[str, str]:
    """(what was live, what is live), each with a worker."""
    first = await harness.deploy(image="a", settings=with_worker())
    await harness.ended(first, Status.READY)
    second = await harness.deploy(image="b", settings=with_worker())
    await harness.ended(second, Status.READY)
    return first, second


async def test_only_the_live_version_has_workers(region: WorkerHarness) -> None:
    """After a deploy the processes of the version before end, while its web instances stay warm."""
    first, second = await live_and_standby(region)
    await until(region, first, 0)
    assert await running(region, second) == 1
    assert (await region.deployment(first)).run_state is RunState.STANDBY
    assert await running(region, first, "") == 1


async def test_a_process_that_fails_fails_the_deploy(region: WorkerHarness) -> None:
    """No route moves, what was live keeps its worker, and the reason names the process with its output."""
    first = await region.deploy(image="a", settings=with_worker())
    await region.ended(first, Status.READY)
    region.region.behavior.of_process["clock"] = "failed"
    settings = with_worker()
    clock = Process(name="clock", command=("tick",))
    second = await region.deploy(image="b", settings=replace(settings, processes=(clock, *settings.processes)))
    failed = await region.ended(second, Status.FAILED)
    assert (failed.error_code, failed.error_step) == ("instance.failed", "deploying")
    assert "process clock: it exited at once (exit code 3)" in (failed.error_message or "")
    assert "boom" in (failed.error_message or "")
    assert failed.last_output_json == ["Traceback", "boom"]
    assert await region.live() == first
    assert await running(region, first) == 1


async def test_a_rollback_starts_the_processes_again(region: WorkerHarness) -> None:
    """Web is warm and moves at once; the target's workers run when the rollback is done, the other version's end."""
    first, second = await live_and_standby(region)
    await until(region, first, 0)
    assert_done(await region.done(await region.switch(OperationKind.ROLLBACK)))
    assert await region.live() == first
    assert await running(region, first) == 1
    await until(region, second, 0)
    assert await running(region, second, "") == 1


async def test_a_rollback_does_not_wait_for_processes_to_move_web(region: WorkerHarness) -> None:
    """A worker that does not start any more holds up no route; the operation is done, and says so."""
    first, second = await live_and_standby(region)
    await until(region, first, 0)
    region.region.behavior.of_process["worker"] = "failed"
    operation = await region.done(await region.switch(OperationKind.ROLLBACK))
    assert operation.status is OperationStatus.DONE
    (notice,) = operation.notices_json
    assert "process worker: it exited at once" in notice
    assert await region.live() == first
    assert second != first


async def test_a_switch_that_is_undone_stops_them_again(region: WorkerHarness) -> None:
    """The routes could not be moved: what is live keeps its workers, the target has none, as before."""
    first, second = await live_and_standby(region)
    await until(region, first, 0)
    region.region.behavior.refuses = set(await region.hostnames(second))
    failed = await region.done(await region.switch(OperationKind.ROLLBACK))
    assert (failed.status, failed.error_code) == (OperationStatus.FAILED, "route.not_applied")
    await until(region, first, 0)
    assert await region.live() == second
    assert await running(region, second) == 1
    assert not (await region.deployment(second)).processes_stopped


async def test_the_steps_can_be_repeated(region: WorkerHarness) -> None:
    """Killed between commit and journal entry, a step runs again: nothing changes the second time."""
    first, second = await live_and_standby(region)
    for _ in range(2):
        await start(region.deps, first)
        assert not (await region.deployment(first)).processes_stopped
    for _ in range(2):
        await stop_unless_live(region.deps, first)
        assert (await region.deployment(first)).processes_stopped
    await stop_unless_live(region.deps, second)
    assert not (await region.deployment(second)).processes_stopped


async def test_a_stopped_deployment_comes_back_with_its_processes(region: WorkerHarness) -> None:
    """A take-down ends them; a promote of what is stopped waits for them like for web."""
    live = await region.deploy(image="a", settings=with_worker())
    await region.ended(live, Status.READY)
    assert_done(await region.done(await region.stop(live, takes_down=True)))
    assert await region.deps.db.read(regions.instances_of, live) == []
    assert_done(await region.done(await region.switch(OperationKind.PROMOTE, live)))
    assert await running(region, live) == 1


async def test_a_number_of_a_process_is_the_environments(region: WorkerHarness) -> None:
    """Web keeps its number, later deploys keep the process's, and 0 is a number."""
    first = await region.deploy(image="a", settings=with_worker())
    await region.ended(first, Status.READY)
    assert_done(await region.done(await region.scale(3, "worker")))
    assert (await running(region, first), await running(region, first, "")) == (3, 1)
    second = await region.deploy(image="b", settings=with_worker(replicas=1))
    await region.ended(second, Status.READY)
    assert await running(region, second) == 3
    assert_done(await region.done(await region.scale(2)))
    assert (await running(region, second), await running(region, second, "")) == (3, 2)
    assert_done(await region.done(await region.scale(0, "worker")))
    assert (await running(region, second), await running(region, second, "")) == (0, 2)
    third = await region.deploy(image="c", settings=with_worker())
    await region.ended(third, Status.READY)
    assert await running(region, third) == 0
    with pytest.raises(FailedPrecondition, match=r"no process 'cron'.*its processes are worker"):
        await region.scale(1, "cron")


async def test_more_workers_that_fail_are_taken_back(region: WorkerHarness) -> None:
    """The operation fails with the process's reason, and the number is again what it was."""
    live = await region.deploy(image="a", settings=with_worker())
    await region.ended(live, Status.READY)
    region.region.behavior.of_process["worker"] = "failed"
    failed = await region.done(await region.scale(4, "worker"))
    assert (failed.status, failed.error_code) == (OperationStatus.FAILED, "instance.failed")
    assert "process worker" in (failed.error_message or "")
    assert (await region.environment()).process_replicas_json == {}


async def test_a_restart_includes_processes(region: WorkerHarness) -> None:
    """The operation is done once web and every process were made again."""
    live = await region.deploy(image="a", settings=with_worker())
    await region.ended(live, Status.READY)
    operation = await region.done(await region.restart(live))
    assert_done(operation)
    found = await region.deps.db.read(regions.instances_of, live)
    assert {(one.process, one.restart_generation) for one in found} == {("", operation.seq), ("worker", operation.seq)}


async def test_a_region_that_does_not_know_processes_is_named(harness: WorkerHarness) -> None:
    """A deploy that its krane could not run is refused at once; one without processes goes on as ever."""
    with pytest.raises(FailedPrecondition, match=r"app\.processes/1"):
        await harness.deploy(image="a", settings=with_worker())
    plain = await harness.deploy(image="a")
    await harness.ended(plain, Status.READY)


async def test_a_branch_that_is_not_live_has_no_workers(region: WorkerHarness) -> None:
    """Its web instances go on at the branch's address; the workers of the environment are those of what is live."""
    old = await region.deploy(image="a", branch="pr-1", settings=with_worker())
    await region.ended(old, Status.READY)
    live = await region.deploy(image="b", branch="pr-2", settings=with_worker())
    await region.ended(live, Status.READY)
    await until(region, old, 0)
    assert (await region.deployment(old)).run_state is RunState.RUNNING
    assert await running(region, live) == 1


async def test_a_switch_that_restate_lost_leaves_no_workers(region: WorkerHarness) -> None:
    """Ended by the api in the workflow's place: the target's processes stop again, those of what is live go on."""
    first, second = await live_and_standby(region)
    await until(region, first, 0)
    operation_id = await region.switch(OperationKind.ROLLBACK, dispatch=False)
    assert (await begin(region.deps, operation_id, CODE_VERSION)).starts_processes
    await start(region.deps, first)
    await until(region, first, 1)
    assert await region.deps.db.write(SWITCH.end_lost, operation_id, now_ms()) is not None
    await until(region, first, 0)
    assert await running(region, second) == 1
