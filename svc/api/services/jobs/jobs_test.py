"""Commands over gRPC: recorded with what is live, sent to one region, ended once, and refused with words that help."""

from collections.abc import Awaitable

import grpc
import pytest
from grpc import aio

from pkg.clock import now_ms
from pkg.desired.capabilities import BASELINE, JOB
from pkg.ids import new_id
from pkg.jobs import queries as jobs
from pkg.jobs import rules
from pkg.jobs.model import JobStatus
from sealift.ctrl.v1 import cluster_pb2, common_pb2, deployment_pb2, environment_pb2, job_pb2, project_pb2
from svc.api.cluster_testing import place, register, until_head
from svc.api.conftest import Deploy
from svc.api.deployment_testing import make_ready
from svc.api.jobs.sweep import JobSweep
from svc.api.testing import REGION, RunningApi, refused

HOSTNAME = "hello.sealift.localhost"
CAPABILITIES = sorted(BASELINE | {JOB.capability})


@pytest.fixture
async def environment(api: RunningApi, project: project_pb2.Project) -> str:
    request = environment_pb2.ListEnvironmentsRequest(project_id=project.project_id)
    return str((await api.admin.environment.ListEnvironments(request)).environments[0].environment_id)


@pytest.fixture
async def live(api: RunningApi, deploy: Deploy) -> deployment_pb2.Deployment:
    """A deployment that is live in a region which runs jobs."""
    await register(api, capabilities=CAPABILITIES)
    made = await deploy(settings=common_pb2.RuntimeSettings(memory_mib=64), variables={"WORD": "plain"})
    await api.db.write(make_ready, made.deployment_id, hostname=HOSTNAME)
    await api.db.write(place, made.deployment_id, image_ref="engine:sha256:0")
    return made


async def start(api: RunningApi, environment_id: str, *command: str, **fields: object) -> job_pb2.Job:
    request = job_pb2.RunCommandRequest(environment_id=environment_id, command=command or ("id",), **fields)  # type: ignore[arg-type]
    job: job_pb2.Job = (await api.admin.job.RunCommand(request)).job
    return job


async def refusal(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    """Status and code of a call that is refused."""
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return refused(caught.value)[:2]


async def say(api: RunningApi, *reports: cluster_pb2.JobReport, term: int = 0) -> None:
    """What krane of the region reports."""
    request = cluster_pb2.ReportJobsRequest(region=REGION, jobs=reports, leader_term=term)
    await api.krane.cluster.ReportJobs(request)


async def desired(api: RunningApi) -> list[cluster_pb2.DesiredJob]:
    """The jobs in a snapshot for the region."""
    request = cluster_pb2.WatchDesiredStateRequest(region=REGION, capabilities=CAPABILITIES)
    messages = await until_head(api.krane.cluster.WatchDesiredState(request))
    return [message.job for message in messages if message.HasField("job")]


async def test_a_command_from_its_start_to_its_end(
    api: RunningApi, environment: str, live: deployment_pb2.Deployment
) -> None:
    """Promise: krane gets image, settings and variables of what is live; who watches sees each change, and the end."""
    job = await start(api, environment, "sh", "-c", "exit 3", timeout_s=90)
    assert (job.status, job.kind, job.region) == (job_pb2.JOB_STATUS_PENDING, job_pb2.JOB_KIND_RUN, REGION)
    assert (job.deployment_id, job.instance_id) == (live.deployment_id, job.job_id.replace("_", "-"))
    call = api.admin.job.WatchJob(job_pb2.WatchJobRequest(job_id=job.job_id))
    assert (await call.read()).job == job
    (wanted,) = await desired(api)
    assert (wanted.job_id, wanted.timeout_s, wanted.stopped) == (job.job_id, 90, False)
    assert list(wanted.of.settings.command.values) == ["sh", "-c", "exit 3"]
    assert (wanted.of.image_ref, wanted.of.settings.memory_mib) == ("engine:sha256:0", 64)
    assert dict(wanted.of.variables) == {"WORD": "plain"}
    await say(api, cluster_pb2.JobReport(job_id=job.job_id, status=job_pb2.JOB_STATUS_PENDING, reason="pulls"))
    assert (await call.read()).job.waits_for == "pulls"
    await say(api, cluster_pb2.JobReport(job_id=job.job_id, status=job_pb2.JOB_STATUS_RUNNING, started_at=7))
    running = (await call.read()).job
    assert (running.status, running.started_at, running.waits_for) == (job_pb2.JOB_STATUS_RUNNING, 7, "")
    end = cluster_pb2.JobReport(
        job_id=job.job_id, status=job_pb2.JOB_STATUS_FAILED, exit_code=3, reason="why\0", log_tail=["x" * 5000] * 200
    )
    for _ in range(2):
        await say(api, end)
    await say(api, cluster_pb2.JobReport(job_id=job.job_id, status=job_pb2.JOB_STATUS_SUCCEEDED))
    ended = (await call.read()).job
    assert (ended.status, ended.exit_code, ended.error.code) == (job_pb2.JOB_STATUS_FAILED, 3, "job.command_failed")
    assert ended.error.message == "It exited with code 3: why."
    assert await call.read() is grpc.aio.EOF
    assert await desired(api) == []
    listed = await api.admin.job.ListJobs(job_pb2.ListJobsRequest(environment_id=environment))
    assert list(listed.jobs) == [ended]


async def test_a_command_is_recorded_once(api: RunningApi, environment: str, live: deployment_pb2.Deployment) -> None:
    """Promise: a repetition with the key starts nothing."""
    first = await start(api, environment, idempotency_key="k")
    assert await start(api, environment, idempotency_key="k") == first
    assert len(await desired(api)) == 1


async def test_a_stop(api: RunningApi, environment: str, live: deployment_pb2.Deployment) -> None:
    """Promise: krane is told; the outcome is what it says, or at the bound that it said nothing."""
    first, second = await start(api, environment), await start(api, environment)
    for job in (first, second):
        for _ in range(2):
            asked = (await api.admin.job.StopJob(job_pb2.StopJobRequest(job_id=job.job_id))).job
            assert asked.stop_requested
    assert [job.stopped for job in await desired(api)] == [True, True]
    await say(api, cluster_pb2.JobReport(job_id=first.job_id, status=job_pb2.JOB_STATUS_STOPPED, exit_code=143))
    sweep = JobSweep(api.db, lambda: now_ms() + rules.STOP_BOUND_S * 1000)
    await sweep.sweep()
    found = [await api.db.read(jobs.get, job.job_id) for job in (first, second)]
    assert [one.status for one in found if one] == [JobStatus.STOPPED] * 2
    assert [bool(one.error_message) for one in found if one] == [False, True]
    assert await desired(api) == []


async def test_what_is_refused(api: RunningApi, environment: str, live: deployment_pb2.Deployment) -> None:
    """Promise: wrong ids and values are named, never INTERNAL."""
    bad = grpc.StatusCode.INVALID_ARGUMENT
    run = api.admin.job.RunCommand
    for fields in (
        {"environment_id": "x", "command": ["a"]},
        {"environment_id": environment},
        {"environment_id": environment, "command": [""]},
        {"environment_id": environment, "command": ["a\0"]},
        {"environment_id": environment, "command": ["a"] * 65},
        {"environment_id": environment, "command": ["a"], "timeout_s": 86_401},
    ):
        assert (await refusal(run(job_pb2.RunCommandRequest(**fields))))[0] is bad
    missing = job_pb2.RunCommandRequest(environment_id=new_id("env"), command=["a"])
    assert (await refusal(run(missing)))[0] is grpc.StatusCode.NOT_FOUND
    for ident, status in (("x", bad), ("", bad), ("job_\0", bad), (new_id("job"), grpc.StatusCode.NOT_FOUND)):
        for call in (
            api.admin.job.GetJob(job_pb2.GetJobRequest(job_id=ident)),
            api.admin.job.StopJob(job_pb2.StopJobRequest(job_id=ident)),
            api.admin.job.WatchJob(job_pb2.WatchJobRequest(job_id=ident)).read(),
        ):
            assert (await refusal(call))[0] is status
    for report in (
        cluster_pb2.JobReport(job_id="x", status=job_pb2.JOB_STATUS_RUNNING),
        cluster_pb2.JobReport(job_id=new_id("job")),
    ):
        assert (await refusal(say(api, report)))[0] is bad
    await say(api, cluster_pb2.JobReport(job_id=new_id("job"), status=job_pb2.JOB_STATUS_RUNNING))  # dropped
    for _ in range(rules.MAX_ACTIVE_RUNS):
        await start(api, environment)
    assert (await refusal(start(api, environment)))[1] == "job.too_many"


async def test_an_earlier_leader_says_nothing(api: RunningApi, environment: str, live: object) -> None:
    """Promise: a krane that does not lead any more ends no job."""
    job = await start(api, environment)
    await say(api, term=2)
    late = say(api, cluster_pb2.JobReport(job_id=job.job_id, status=job_pb2.JOB_STATUS_SUCCEEDED), term=1)
    assert (await refusal(late))[1] == "region.not_leading"
    assert len(await desired(api)) == 1


async def test_nothing_live_and_a_krane_without_jobs(
    api: RunningApi, environment: str, deploy: Deploy, project: project_pb2.Project
) -> None:
    """Promise: what is missing is said; a deploy with a release command is refused for an older krane."""
    assert (await refusal(start(api, environment)))[1] == "environment.nothing_live"
    await register(api)
    releases = common_pb2.RuntimeSettings(release_command=common_pb2.StringList(values=["./migrate"]))
    assert (await refusal(deploy(settings=releases)))[1] == "region.capability_missing"
    made = await deploy()
    await api.db.write(make_ready, made.deployment_id, hostname=HOSTNAME)
    await api.db.write(place, made.deployment_id)
    assert (await refusal(start(api, environment)))[1] == "region.capability_missing"


async def test_release_settings(api: RunningApi, deploy: Deploy) -> None:
    """Promise: they are settings like all: bounded, merged, and shown with the deployment."""
    await register(api, capabilities=CAPABILITIES)
    releases = common_pb2.RuntimeSettings(
        release_command=common_pb2.StringList(values=["./migrate"]), release_timeout_s=30
    )
    made = await deploy(settings=releases)
    assert (list(made.settings.release_command.values), made.settings.release_timeout_s) == (["./migrate"], 30)
    plain = await deploy()
    assert (plain.settings.HasField("release_command"), plain.settings.release_timeout_s) == (False, 600)
    for seconds in (0, 3601):
        wrong = common_pb2.RuntimeSettings(release_timeout_s=seconds)
        assert (await refusal(deploy(settings=wrong)))[0] is grpc.StatusCode.INVALID_ARGUMENT
