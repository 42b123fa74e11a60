"""What a release command promises, on a real Restate and a real database."""

from dataclasses import replace
from functools import partial

import pytest

from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState, Status
from pkg.desired.capabilities import BASELINE, JOB
from pkg.feed import queries as feed
from pkg.jobs import queries as jobs
from pkg.jobs import rules
from pkg.jobs.model import Job, JobStatus, release_job_id
from pkg.operations.model import OperationKind, OperationStatus
from pkg.regions import queries as regions
from pkg.workflows.deploy import DEPLOY
from svc.worker.testing.harness import WorkerHarness, quick

RELEASES = replace(quick(), release_command=("./migrate", "--all"), release_timeout_s=60)


@pytest.fixture
async def region(harness: WorkerHarness) -> WorkerHarness:
    """The region can run jobs."""
    await harness.region.register(capabilities=sorted(BASELINE | {JOB.capability}))
    return harness


async def job_of(harness: WorkerHarness, deployment_id: str) -> Job | None:
    return await harness.deps.db.read(jobs.get, release_job_id(deployment_id))


async def has_job(harness: WorkerHarness, deployment_id: str, status: JobStatus) -> bool:
    job = await job_of(harness, deployment_id)
    return job is not None and job.status is status


async def test_it_runs_before_any_instance(region: WorkerHarness) -> None:
    """One job, with the image of the build, ended before the topology was wanted; its step has its times."""
    deployment_id = await region.deploy(settings=RELEASES)
    ended = await region.ended(deployment_id, Status.READY)
    job = await job_of(region, deployment_id)
    assert job is not None
    assert (job.status, job.command_json, job.timeout_s) == (JobStatus.SUCCEEDED, ["./migrate", "--all"], 60)
    assert job.image_ref == ended.image_ref
    assert region.region.jobs_run == [job.id]
    steps = await region.deps.db.read(deployments.steps, deployment_id)
    assert [s.name for s in steps] == ["queued", "building", "releasing", "deploying", "network", "finalizing"]
    assert all(s.ended_at is not None and s.error is None for s in steps)
    changes = await region.deps.db.read(feed.after, "local", 0)
    kinds = [change.kind for change in changes if change.kind in ("job", "topology")]
    assert kinds[:3] == ["job", "job", "topology"]


async def test_a_failure_fails_the_deploy_with_its_output(region: WorkerHarness) -> None:
    """Its code, the exit code and the last lines; nothing was started and live is unchanged."""
    first = await region.deploy(image="a")
    await region.ended(first, Status.READY)
    region.region.behavior.jobs = "fail"
    second = await region.deploy(image="b", settings=RELEASES)
    ended = await region.ended(second, Status.FAILED)
    assert (ended.error_code, ended.error_step) == ("release.command_failed", "releasing")
    message = ended.error_message or ""
    assert "`./migrate --all` failed. It exited with code 3." in message
    assert message.endswith("Last log lines:\nTraceback\nboom")
    assert ended.last_output_json == ["Traceback", "boom"]
    assert ended.run_state is RunState.NONE
    assert await region.live() == first
    assert await region.deps.db.read(regions.topologies_of, second) == []


async def test_a_cancel_ends_it(region: WorkerHarness) -> None:
    """The deploy is cancelled once the job was stopped."""
    region.region.behavior.jobs = "run"
    deployment_id = await region.deploy(image="a", settings=RELEASES)
    await region.until(partial(has_job, region, deployment_id, JobStatus.RUNNING), "it runs")
    await region.cancel(deployment_id)
    await region.ended(deployment_id, Status.CANCELLED)
    job = await job_of(region, deployment_id)
    assert job is not None
    assert job.status is JobStatus.STOPPED


async def test_what_was_cancelled_before_never_starts_it(region: WorkerHarness) -> None:
    """A deploy that ended while it was pending has no job."""
    deployment_id = await region.deploy(image="a", settings=RELEASES, dispatch=False)
    await region.cancel(deployment_id, notify=False)
    await region.dispatch(DEPLOY, deployment_id)
    await region.ended(deployment_id, Status.CANCELLED)
    assert await job_of(region, deployment_id) is None
    assert region.region.jobs_run == []


async def test_release_commands_of_an_environment_run_one_at_a_time(region: WorkerHarness) -> None:
    """The second one is not told to its region before the first one has ended."""
    region.region.behavior.jobs = "run"
    first = await region.deploy(image="a", settings=RELEASES, branch="a")
    await region.until(partial(has_job, region, first, JobStatus.RUNNING), "the first runs")
    second = await region.deploy(image="b", settings=RELEASES, branch="b")
    await region.until(partial(has_job, region, second, JobStatus.PENDING), "the second waits")
    waiting = await job_of(region, second)
    assert waiting is not None
    assert waiting.wanted_at is None
    assert region.region.jobs_run == [release_job_id(first)]
    region.region.behavior.jobs = "succeed"
    region.region.changed()
    await region.ended(first, Status.READY)
    await region.ended(second, Status.READY)
    assert region.region.jobs_run == [release_job_id(first), release_job_id(second)]


async def test_a_rollback_and_a_promote_never_run_it(region: WorkerHarness) -> None:
    """Two deploys, two jobs, whatever is switched afterwards."""
    for image in ("a", "b"):
        deployment_id = await region.deploy(image=image, settings=RELEASES)
        await region.ended(deployment_id, Status.READY)
    for kind in (OperationKind.ROLLBACK, OperationKind.PROMOTE):
        operation = await region.done(await region.switch(kind, deployment_id if kind == "promote" else None))
        assert operation.status is OperationStatus.DONE
    assert len(region.region.jobs_run) == 2


async def test_a_region_that_says_nothing_is_not_waited_for_for_ever(region: WorkerHarness) -> None:
    """The deploy fails at the bound, with words that name the region; the next one is not held."""
    region.region.behavior.jobs = "silent"
    deployment_id = await region.deploy(image="a", settings=RELEASES)
    await region.until(partial(has_job, region, deployment_id, JobStatus.PENDING), "it waits")
    late = region.later(rules.START_BOUND_S * 1000)
    await region.deps.db.write(lambda c: [jobs.end_overdue(c, job, late.deps.clock()) for job in jobs.active(c)])
    ended = await region.ended(deployment_id, Status.FAILED)
    assert ended.error_code == "release.not_started"
    assert "region local" in (ended.error_message or "")
    region.region.behavior.jobs = "succeed"
    await region.ended(await region.deploy(image="b", settings=RELEASES), Status.READY)


async def test_without_notifications_it_ends_as_well(region: WorkerHarness) -> None:
    """The outcome is read from the database."""
    region.region.behavior.notifies = False
    await region.ended(await region.deploy(image="a", settings=RELEASES), Status.READY)


async def test_a_krane_without_jobs_fails_it_with_words(harness: WorkerHarness) -> None:
    """A region that was downgraded since the deploy was recorded."""
    await harness.region.register(capabilities=sorted(BASELINE | {JOB.capability}))
    deployment_id = await harness.deploy(image="a", settings=RELEASES, dispatch=False)
    await harness.region.register()
    await harness.dispatch(DEPLOY, deployment_id)
    ended = await harness.ended(deployment_id, Status.FAILED)
    assert ended.error_code == "region.capability_missing"
