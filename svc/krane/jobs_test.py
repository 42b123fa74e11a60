"""Jobs on a real engine: started once, watched, reported with their output, one release command at a time."""

import docker

from pkg.desired.jobs import job_name
from pkg.ids import new_id
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import common_pb2
from sealift.ctrl.v1.job_pb2 import (
    JOB_KIND_RELEASE,
    JOB_KIND_RUN,
    JOB_STATUS_FAILED,
    JOB_STATUS_PENDING,
    JOB_STATUS_RUNNING,
    JOB_STATUS_STOPPED,
    JOB_STATUS_SUCCEEDED,
    JOB_STATUS_TIMED_OUT,
    JobKind,
)
from svc.krane.testing.harness import KraneHarness, containers, eventually

WAITS = "import time\nprint('begun')\ntime.sleep(600)"


def job_of(
    harness: KraneHarness, script: str, *, kind: JobKind.ValueType = JOB_KIND_RELEASE, timeout_s: int = 60,
    environment_id: str = "env_1", at: int = 1, **settings: object,
) -> pb.DesiredJob:  # fmt: skip
    of = harness.topology(script, **settings)
    of.environment_id = environment_id
    return pb.DesiredJob(job_id=new_id("job"), kind=kind, of=of, timeout_s=timeout_s, created_at=at)


def texts(harness: KraneHarness, job: pb.DesiredJob) -> list[str]:
    """What the api has of its log."""
    name = job_name(job.job_id)
    return [text for log in harness.cluster.logs.values() if log.instance_id == name for text in log.texts]


async def test_a_job_runs_and_is_removed(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: its end is told after all that it printed, without secrets; then nothing of it is left."""
    await harness.start_krane()
    script = "import os\nprint('one', os.environ['SECRET'])\nprint('two')\nprint(os.environ['SEALIFT_JOB_ID'])"
    job = job_of(harness, script, variables={"SECRET": "hush-hush-123"})
    await harness.cluster.put_job(job)
    report = await harness.cluster.until_job(job.job_id, JOB_STATUS_SUCCEEDED)
    assert texts(harness, job) == ["one ***", "two", job.job_id]
    assert list(report.log_tail) == texts(harness, job)
    assert (report.exit_code, report.instance_id, report.started_at > 0) == (0, job_name(job.job_id), True)
    await eventually(lambda: containers(client, harness) == set())


async def test_exit_codes_and_programs_that_are_missing(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: the exit code is told; what can't be executed is named."""
    await harness.start_krane()
    failed = job_of(harness, "import sys\nprint('no')\nsys.exit(7)")
    missing = job_of(harness, "", kind=JOB_KIND_RUN)
    missing.of.settings.command.CopyFrom(common_pb2.StringList(values=["no-such-program"]))
    gone = job_of(harness, "", kind=JOB_KIND_RUN)
    gone.of.image_ref = "engine:sha256:" + "0" * 64
    for job in (failed, missing, gone):
        await harness.cluster.put_job(job)
    report = await harness.cluster.until_job(failed.job_id, JOB_STATUS_FAILED)
    assert (report.exit_code, list(report.log_tail)) == (7, ["no"])
    report = await harness.cluster.until_job(missing.job_id, JOB_STATUS_FAILED)
    assert "no-such-program" in report.reason
    report = await harness.cluster.until_job(gone.job_id, JOB_STATUS_FAILED)
    assert (report.code, report.HasField("exit_code")) == ("instance.image_missing", False)
    await eventually(lambda: containers(client, harness) == set())


async def test_a_job_ends_at_its_timeout(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: also one that ignores the signal, and one that answers it with 0."""
    await harness.start_krane()
    deaf = job_of(harness, f"import signal\nsignal.signal(signal.SIGTERM, lambda *_: None)\n{WAITS}", timeout_s=1)
    polite = job_of(
        harness, f"import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n{WAITS}", timeout_s=1,
        kind=JOB_KIND_RUN,
    )  # fmt: skip
    for job in (deaf, polite):
        await harness.cluster.put_job(job)
    for job in (deaf, polite):
        report = await harness.cluster.until_job(job.job_id, JOB_STATUS_TIMED_OUT)
        assert list(report.log_tail) == ["begun"]
    await eventually(lambda: containers(client, harness) == set())


async def test_a_job_is_stopped(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: what runs is ended, what has not begun never begins, and what is not desired is removed."""
    await harness.start_krane()
    running, unwanted, late = (job_of(harness, WAITS, kind=JOB_KIND_RUN) for _ in range(3))
    for job in (running, unwanted):
        await harness.cluster.put_job(job)
        await harness.cluster.until_job(job.job_id, JOB_STATUS_RUNNING)
    for job in (running, late):
        job.stopped = True
        await harness.cluster.put_job(job)
        await harness.cluster.until_job(job.job_id, JOB_STATUS_STOPPED)
    await harness.cluster.remove_job(unwanted.job_id)
    await eventually(lambda: containers(client, harness) == set())
    assert texts(harness, late) == []


async def test_release_commands_of_an_environment_run_one_at_a_time(
    harness: KraneHarness, client: docker.APIClient
) -> None:
    """Promise: the second waits, also for one that nobody desires any more; other environments do not."""
    await harness.start_krane()
    first, second = job_of(harness, WAITS), job_of(harness, "print('mine')", at=2)
    other = job_of(harness, "print('other')", environment_id="env_2", at=3)
    await harness.cluster.put_job(first)
    await harness.cluster.until_job(first.job_id, JOB_STATUS_RUNNING)
    for job in (second, other):
        await harness.cluster.put_job(job)
    await harness.cluster.until_job(other.job_id, JOB_STATUS_SUCCEEDED)
    report = await harness.cluster.until_job(second.job_id, JOB_STATUS_PENDING)
    assert first.job_id in report.reason
    await eventually(lambda: containers(client, harness) == {job_name(first.job_id)})
    await harness.cluster.remove_job(first.job_id)
    await harness.cluster.until_job(second.job_id, JOB_STATUS_SUCCEEDED)
    await eventually(lambda: containers(client, harness) == set())


async def test_the_next_krane_adopts_what_runs(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: one container, whichever krane looks at it; also with the api away the end is told once, later."""
    await harness.start_krane()
    job = job_of(harness, "import time\nprint('begun')\ntime.sleep(3)\nprint('done')")
    await harness.cluster.put_job(job)
    await harness.cluster.until_job(job.job_id, JOB_STATUS_RUNNING)
    uid = client.inspect_container(job_name(job.job_id))["Id"]
    await harness.stop_krane()
    await harness.start_krane()
    await harness.cluster.stop()
    await eventually(lambda: client.inspect_container(job_name(job.job_id))["State"]["Status"] == "exited")
    assert client.inspect_container(job_name(job.job_id))["Id"] == uid
    await harness.stop_krane()
    await harness.cluster.start()
    await harness.start_krane()
    report = await harness.cluster.until_job(job.job_id, JOB_STATUS_SUCCEEDED)
    assert report.exit_code == 0
    assert texts(harness, job) == ["begun", "done"]
    await eventually(lambda: containers(client, harness) == set())


async def test_only_what_vanished_is_started_again(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: one without an exit code is run again; one with an exit code never is, whoever asks."""
    await harness.start_krane()
    job, ended = job_of(harness, WAITS), job_of(harness, "print('once')", kind=JOB_KIND_RUN)
    harness.cluster.keep_jobs = True
    await harness.cluster.put_job(job)
    await harness.cluster.until_job(job.job_id, JOB_STATUS_RUNNING)
    client.remove_container(job_name(job.job_id), force=True)
    await eventually(lambda: job_name(job.job_id) in containers(client, harness))
    await harness.cluster.put_job(ended)
    await harness.cluster.until_job(ended.job_id, JOB_STATUS_SUCCEEDED)
    uid = client.inspect_container(job_name(ended.job_id))["Id"]
    await harness.stop_krane()
    await harness.start_krane()
    await harness.cluster.until(lambda: harness.cluster.job_reports[ended.job_id].exit_code == 0)
    assert client.inspect_container(job_name(ended.job_id))["Id"] == uid
    assert texts(harness, ended) == ["once"]
