"""Which release command runs next, how long a job may run, and what its end means. Pure."""

import time
from collections.abc import Callable, Iterable, Sequence

from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import job_pb2
from svc.krane.runtime.port import JobObservation, JobRef

WHOLE_MS = 1000  # times of a cluster are cut to seconds


def still_running() -> frozenset[int]:
    """The statuses of a job that has not ended."""
    return frozenset({job_pb2.JOB_STATUS_PENDING, job_pb2.JOB_STATUS_RUNNING})


def next_of(job: pb.DesiredJob, desired: Iterable[pb.DesiredJob], others: Sequence[JobRef]) -> str:
    """The release command of the job's environment that runs, or may be started, now.

    Args:
        job: that wants to start, and is not there.
        desired: all jobs that are to run here.
        others: what is there beside it, also what nobody desires any more.
    """
    environment_id = job.of.environment_id
    for one in others:
        if one.is_release and one.environment_id == environment_id and one.job_id != job.job_id:
            return one.job_id
    waiting = [
        (one.created_at, one.job_id)
        for one in desired
        if one.kind == job_pb2.JOB_KIND_RELEASE and one.of.environment_id == environment_id and not one.stopped
    ]
    return min(waiting, default=(0, job.job_id))[1]


class Clock:
    """How long a job has run: by a clock that nobody sets, from its start or from when it was seen first.

    What was there before counts by the times that its runtime says: a clock of another machine may differ.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, epoch_s: Callable[[], float] = time.time
    ) -> None:
        self._monotonic = monotonic
        self._epoch_s = epoch_s
        self._uid = ""
        self._began = 0.0
        self._is_own = False
        self.was_late = False

    @property
    def is_running(self) -> bool:
        """Whether the job was seen to run."""
        return bool(self._uid)

    def started(self) -> None:
        """This krane has started the job: what it sees next has just begun."""
        self._is_own = True

    def left_s(self, seen: JobObservation, timeout_s: float) -> float:
        """Seconds that a job that runs may go on; 0 or less: it is to end."""
        now = self._monotonic()
        if self._uid != seen.seen.uid:
            self._uid = seen.seen.uid
            is_known = seen.seen.started_at_ms and not self._is_own
            ran_s = self._epoch_s() - seen.seen.started_at_ms / 1000 if is_known else 0.0
            self._is_own = False
            self._began = now - min(max(ran_s, 0.0), timeout_s)
        left = self._began + timeout_s - now
        self.was_late = self.was_late or left <= 0
        return left


def outcome(job: pb.DesiredJob, seen: JobObservation, *, is_late: bool) -> job_pb2.JobStatus.ValueType:
    """What the end of a job means.

    Args:
        job: as it is desired now.
        seen: how it ended.
        is_late: this krane found that its time was over. Its times say so, too, where another krane ended it.
    """
    if job.stopped:
        return job_pb2.JOB_STATUS_STOPPED
    # Before the exit code: an app that is signalled may well end with 0, and has not done its work.
    if is_late or seen.has_expired or _longest_s(seen) >= job.timeout_s:
        return job_pb2.JOB_STATUS_TIMED_OUT
    return job_pb2.JOB_STATUS_SUCCEEDED if seen.seen.exit_code == 0 else job_pb2.JOB_STATUS_FAILED


def _longest_s(seen: JobObservation) -> float:
    """How long it may have run."""
    began, ended = seen.seen.started_at_ms, seen.ended_at_ms
    if not began or not ended:
        return 0.0
    slack_ms = WHOLE_MS - 1 if began % WHOLE_MS == 0 and ended % WHOLE_MS == 0 else 0
    return (ended - began + slack_ms) / 1000
