"""Promise: release commands of an environment run one at a time, in order, and an end is never taken for another."""

from hypothesis import given
from hypothesis import strategies as st

from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import job_pb2
from svc.krane.controller.job_rules import Clock, next_of, outcome
from svc.krane.runtime.port import InstanceStatus, JobObservation, JobRef, Observation

kinds = st.sampled_from([job_pb2.JOB_KIND_RELEASE, job_pb2.JOB_KIND_RUN])


@st.composite
def desired(draw: st.DrawFn) -> list[pb.DesiredJob]:
    """Jobs of two environments."""
    return [
        pb.DesiredJob(
            job_id=f"job_{number}",
            kind=draw(kinds),
            of=pb.Topology(environment_id=draw(st.sampled_from(["a", "b"]))),
            stopped=draw(st.booleans()),
            created_at=draw(st.integers(0, 3)),
        )
        for number in range(draw(st.integers(1, 6)))
    ]


def ref(job: pb.DesiredJob) -> JobRef:
    return JobRef(job.job_id, job.of.environment_id, job.kind == job_pb2.JOB_KIND_RELEASE)


@given(desired(), st.data())
def test_one_release_command_at_a_time(jobs: list[pb.DesiredJob], data: st.DataObject) -> None:
    """Promise: whatever is there, at most one more starts in an environment, and none beside another one."""
    there = data.draw(st.lists(st.sampled_from(jobs), unique_by=lambda job: job.job_id))
    names = {job.job_id for job in there}
    waiting = [
        job for job in jobs
        if job.kind == job_pb2.JOB_KIND_RELEASE and job.job_id not in names and not job.stopped
    ]  # fmt: skip
    starts = [job for job in waiting if next_of(job, jobs, [ref(one) for one in there]) == job.job_id]
    for environment_id in ("a", "b"):
        mine = [job for job in starts if job.of.environment_id == environment_id]
        running = [one for one in map(ref, there) if one.is_release and one.environment_id == environment_id]
        assert len(mine) + len(running) <= max(1, len(running))
        others = [job for job in waiting if job.of.environment_id == environment_id]
        if others and not running:
            assert mine == [min(others, key=lambda job: (job.created_at, job.job_id))]


def seen(exit_code: int, began: int = 0, ended: int = 0, *, has_expired: bool = False) -> JobObservation:
    observed = Observation("job-1", "uid", "dep_1", 0, InstanceStatus.EXITED, exit_code=exit_code, started_at_ms=began)
    return JobObservation(observed, ended, has_expired=has_expired)


@given(st.integers(0, 255), st.integers(1, 3600), st.integers(0, 10**7), st.booleans(), st.booleans(), st.booleans())
def test_an_end_means_one_thing(code: int, timeout_s: int, ran_ms: int, stopped: bool, late: bool, gone: bool) -> None:
    """Promise: only what ended by itself, in time, with 0 has succeeded."""
    job = pb.DesiredJob(timeout_s=timeout_s, stopped=stopped)
    found = outcome(job, seen(code, 5_001, 5_001 + ran_ms, has_expired=gone), is_late=late)
    assert (found == job_pb2.JOB_STATUS_STOPPED) == stopped
    succeeded = not stopped and not late and not gone and ran_ms < timeout_s * 1000 and code == 0
    assert (found == job_pb2.JOB_STATUS_SUCCEEDED) == succeeded
    if not stopped and (late or gone or ran_ms >= timeout_s * 1000):
        assert found == job_pb2.JOB_STATUS_TIMED_OUT


@given(st.integers(1, 86_400), st.floats(-1e6, 1e6), st.lists(st.floats(0, 10), max_size=20))
def test_time_only_passes(timeout_s: int, ran_s: float, pauses: list[float]) -> None:
    """Promise: a clock that was set moves the end of a job by no more than its timeout, and never backwards."""
    now = [1000.0]
    clock = Clock(lambda: now[0], lambda: 2_000_000.0)
    job = seen(0, began=max(1, int((2_000_000.0 - ran_s) * 1000)))
    left = clock.left_s(job, timeout_s)
    assert 0 <= left <= timeout_s
    for pause in pauses:
        now[0] += pause
        assert abs(clock.left_s(job, timeout_s) - (left - (now[0] - 1000.0))) < 1e-3
    assert clock.was_late == (clock.left_s(job, timeout_s) <= 0)
