"""When a job has to have ended, and which outcome follows from what a region says. Pure."""

from pkg.desired.jobs import AWAY_BOUND_S, MAX_RUN_TIMEOUT_S, START_BOUND_S
from pkg.jobs.model import Job, JobEnd, JobStatus

__all__ = ["AWAY_BOUND_S", "MAX_RUN_TIMEOUT_S", "START_BOUND_S"]

MAX_RELEASE_TIMEOUT_S = 3600
DEFAULT_RUN_TIMEOUT_S = 3600
MAX_ACTIVE_RUNS = 10  # of an environment

STOP_BOUND_S = 60  # krane kills after 10 s
END_BOUND_S = 60  # on top of the timeout, while its region says that it runs
SEEN_S = 30  # krane reports a job every 10 s, whether or not it changed


def due_at(job: Job, now: int) -> int | None:
    """When the job is ended without its region's word, epoch ms; None: it has ended, or waits for its turn."""
    if job.status.is_terminal or job.wanted_at is None:
        return None
    if job.stop_requested_at is not None:
        return max(job.stop_requested_at, job.wanted_at) + STOP_BOUND_S * 1000
    if job.running_at is None:
        return job.wanted_at + START_BOUND_S * 1000
    is_seen = job.observed_at is not None and now - job.observed_at < SEEN_S * 1000
    return job.running_at + (job.timeout_s + (END_BOUND_S if is_seen else AWAY_BOUND_S)) * 1000


def overdue(job: Job, now: int) -> JobEnd | None:
    """How a job ends that its region did not end in time; None: there is still time."""
    due = due_at(job, now)
    if due is None or now < due:
        return None
    where = f"region {job.region}"
    if job.stop_requested_at is not None:
        return JobEnd(
            JobStatus.STOPPED,
            error_message=f"{where} has not confirmed within {STOP_BOUND_S} s that it ended: its krane ends it once it "
            "is back in contact.",
        )
    if job.running_at is None:
        why = f" ({job.waits_for})" if job.waits_for else ": is krane running there?"
        message = f"It was not started within {START_BOUND_S} s in {where}{why}"
        return JobEnd(JobStatus.FAILED, error_code="job.not_started", error_message=message)
    if job.observed_at is not None and now - job.observed_at < SEEN_S * 1000:
        return timed_out(job)
    message = (
        f"{where} has said nothing of it since before its {job.timeout_s} s were over, so its end is not known. Its "
        "krane ends it once it is back in contact."
    )
    return JobEnd(JobStatus.TIMED_OUT, error_code="job.region_away", error_message=message)


def timed_out(job: Job, log_tail: tuple[str, ...] = ()) -> JobEnd:
    """It ran longer than it may."""
    message = f"It ran for more than {job.timeout_s} s, and was ended."
    return JobEnd(JobStatus.TIMED_OUT, error_code="job.timed_out", error_message=message, log_tail=log_tail)


def exited(exit_code: int, log_tail: tuple[str, ...] = (), why: str = "") -> JobEnd:
    """It ended by itself. `why`: what ended it, where the exit code would mislead."""
    if exit_code == 0:
        return JobEnd(JobStatus.SUCCEEDED, exit_code=0, log_tail=log_tail)
    message = f"It exited with code {exit_code}{f': {why}' if why else ''}."
    return JobEnd(JobStatus.FAILED, exit_code, "job.command_failed", message, log_tail)
