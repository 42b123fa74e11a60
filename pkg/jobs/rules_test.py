"""Promise: every job that a region was told of ends, whatever the region says or does not say."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pkg.jobs import rules
from pkg.jobs.model import ACTIVE, Job, JobKind, JobStatus, release_job_id

times = st.integers(0, 10**12)
maybe = st.none() | times
JOB = Job(
    "job_1", "ws_1", "proj_1", "env_1", "dep_1", "local", JobKind.RELEASE, JobStatus.PENDING, "engine:1", ["x"], 600,
    "", None, None, None, None, 0, None, None, None, None, [], 0,
)  # fmt: skip


@st.composite
def told(draw: st.DrawFn) -> Job:
    """A job that its region was told of."""
    wanted = draw(times)
    return replace(
        JOB,
        status=draw(st.sampled_from(sorted(ACTIVE))),
        timeout_s=draw(st.integers(1, rules.MAX_RUN_TIMEOUT_S)),
        wanted_at=wanted,
        running_at=draw(st.none() | st.integers(wanted, wanted + 600_000)),
        observed_at=draw(maybe),
        stop_requested_at=draw(st.none() | st.integers(wanted, wanted + 10**8)),
    )


@given(told(), times)
def test_it_has_ended_at_a_bound(job: Job, now: int) -> None:
    """Promise: the bound is finite, and what the region says moves it by minutes only."""
    due = rules.due_at(job, now)
    assert due is not None
    assert job.wanted_at is not None
    latest = max(job.wanted_at + rules.START_BOUND_S * 1000, job.stop_requested_at or 0, job.running_at or 0)
    assert due <= latest + (job.timeout_s + rules.AWAY_BOUND_S) * 1000
    end = rules.overdue(job, now)
    assert (end is not None) == (now >= due)
    if end is not None:
        assert end.status.is_terminal
        assert end.status is not JobStatus.SUCCEEDED


@given(told(), st.integers(0, 10**9))
def test_a_job_that_its_region_sees_has_all_its_time(job: Job, after: int) -> None:
    """Promise: it is never ended before its own timeout is over, unless somebody asked it to stop."""
    assert job.wanted_at is not None
    job = replace(job, stop_requested_at=None, running_at=job.running_at or job.wanted_at)
    assert job.running_at is not None
    now = job.running_at + after
    if after < job.timeout_s * 1000:
        assert rules.overdue(replace(job, observed_at=now), now) is None
        assert rules.overdue(job, now) is None


@given(maybe, maybe, times)
def test_a_job_that_waits_for_its_turn_is_not_overdue(running: int | None, stop: int | None, now: int) -> None:
    """Promise: bounds are counted from when a region was told."""
    assert rules.overdue(replace(JOB, running_at=running, stop_requested_at=stop), now) is None


@given(told(), st.sampled_from([s for s in JobStatus if s.is_terminal]), times)
def test_an_end_is_final(job: Job, status: JobStatus, now: int) -> None:
    """Promise: what has ended is not ended again."""
    assert rules.overdue(replace(job, status=status), now) is None


@given(st.integers(-255, 255))
def test_only_0_succeeds(code: int) -> None:
    """Promise: any other exit code is a failure with a code and words."""
    end = rules.exited(code)
    assert (end.status is JobStatus.SUCCEEDED) == (code == 0)
    assert bool(end.error_code) == bool(end.error_message) == (code != 0)


def test_a_deploy_has_one_release_job() -> None:
    """Promise: a step that is repeated names the same job."""
    assert release_job_id("dep_06b7") == "job_06b7"
