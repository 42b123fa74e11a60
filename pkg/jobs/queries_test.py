"""Promise: a job is told to its region once, ends once, and release jobs of an environment run one at a time."""

from sqlalchemy import Connection

from pkg.db import Database
from pkg.feed import queries as feed
from pkg.ids import new_id
from pkg.jobs import queries, rules
from pkg.jobs.model import Job, JobEnd, JobKind, JobSeen, JobStatus
from pkg.testing.sample_project import SampleProject, add_sample_project, record_deploy


def _job(c: Connection, sample: SampleProject, kind: JobKind = JobKind.RELEASE, job_id: str = "") -> Job:
    deployment = record_deploy(c, sample, image="nginx:1")
    return queries.add(
        c, job_id=job_id or new_id("job"), workspace_id=sample.workspace_id, project_id=sample.project_id,
        environment_id=sample.production_id, deployment_id=deployment.id, region=sample.region, kind=kind,
        image_ref="nginx:1", command=["./migrate"], timeout_s=60, now=1,
    )  # fmt: skip


async def test_a_job_is_told_once_and_ends_once(db: Database) -> None:
    """Each change is in the feed of its region alone; after the end nothing changes."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        job = _job(c, sample)
        assert queries.add(
            c, job_id=job.id, workspace_id="x", project_id="x", environment_id="x", deployment_id="x", region="x",
            kind=JobKind.RUN, image_ref="", command=[], timeout_s=1, now=2,
        ) == job  # fmt: skip
        assert queries.wanted_in(c, "local") == []
        assert queries.want(c, job, 2)
        assert not queries.want(c, job, 3)
        assert [one.id for one in queries.wanted_in(c, "local")] == [job.id]
        assert queries.report(c, "elsewhere", JobSeen(job.id, is_running=True), 4) is None
        assert queries.report(c, "local", JobSeen(new_id("job"), is_running=True), 4) is None
        assert queries.report(c, "local", JobSeen(job.id, is_running=True, started_at=7), 5) is None
        assert queries.report(c, "local", JobSeen(job.id, is_running=True), 9) is None
        seen = queries.get(c, job.id)
        assert seen is not None
        assert (seen.status, seen.running_at, seen.observed_at, seen.started_at) == (JobStatus.RUNNING, 5, 9, 7)
        ended = queries.report(c, "local", JobSeen(job.id, end=rules.exited(3, ("no",))), 10)
        assert ended is not None
        assert (ended.status, ended.exit_code, ended.error_code) == (JobStatus.FAILED, 3, "job.command_failed")
        assert (ended.log_tail_json, ended.ended_at) == (["no"], 10)
        assert queries.report(c, "local", JobSeen(job.id, end=rules.exited(0)), 11) is None
        assert not queries.finish(c, job.id, JobEnd(JobStatus.STOPPED), 12)
        assert queries.request_stop(c, job.id, 12) == ended
        assert queries.wanted_in(c, "local") == []
        changes = [one for one in feed.after(c, "local", 0) if one.kind == "job"]
        assert [one.key for one in changes] == [job.id, job.id]
        assert [one for one in feed.after(c, "elsewhere", 0) if one.kind == "job"] == []

    await db.write(run)


async def test_release_jobs_of_an_environment_are_one_after_the_other(db: Database) -> None:
    """The second one has a predecessor until the first one has ended; jobs of users have none."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        first, second, user = _job(c, sample), _job(c, sample), _job(c, sample, JobKind.RUN)
        assert queries.predecessor(c, first) == ""
        queries.want(c, user, 1)
        assert queries.active_runs(c, sample.production_id) == 1
        assert queries.predecessor(c, second) == ""
        queries.want(c, first, 1)
        assert queries.predecessor(c, second) == first.id
        assert queries.predecessor(c, first) == ""
        queries.finish(c, first.id, JobEnd(JobStatus.STOPPED), 2)
        assert queries.predecessor(c, second) == ""
        assert [one.id for one in queries.newest(c, sample.production_id, before_id=None, limit=2)] == sorted(
            [first.id, second.id, user.id], reverse=True
        )[:2]

    await db.write(run)


async def test_a_stop_is_asked_for_once(db: Database) -> None:
    """What no region was told of ends at once; the others are asked, and ended in the end without an answer."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        waiting, told = _job(c, sample), _job(c, sample)
        stopped = queries.request_stop(c, waiting.id, 5)
        assert stopped is not None
        assert (stopped.status, stopped.ended_at) == (JobStatus.STOPPED, 5)
        queries.want(c, told, 5)
        before = feed.head(c).version
        for at in (6, 7):
            asked = queries.request_stop(c, told.id, at)
            assert asked is not None
            assert (asked.status, asked.stop_requested_at) == (JobStatus.PENDING, 6)
        assert feed.head(c).version == before + 1
        assert asked is not None
        assert not queries.end_overdue(c, asked, 7)
        assert queries.end_overdue(c, asked, 6 + rules.STOP_BOUND_S * 1000)
        assert queries.active(c) == []
        assert queries.prune(c, before=6) == 1
        assert queries.get(c, waiting.id) is None

    await db.write(run)
