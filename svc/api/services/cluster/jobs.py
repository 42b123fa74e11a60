"""What krane reports of jobs: checked, and what follows for the jobs. Long texts are cut, as in `validation`."""

import re
from dataclasses import dataclass

from pkg.errors import InvalidArgument
from pkg.ids import is_id
from pkg.jobs import rules
from pkg.jobs.model import Job, JobEnd, JobSeen, JobStatus
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.api.requests.checks import check_range, shown
from svc.api.requests.job_enums import JOB_STATUSES
from svc.api.services.cluster.validation import MAX_REASON_CHARS, clean, lines_of

MAX_JOBS = 200
_CODE = re.compile(r"(instance|job)\.[a-z_]{1,48}")
_STATUSES = {number: status for status, number in JOB_STATUSES.items()}


@dataclass(frozen=True)
class JobReport:
    """A report of one job, checked; `seen_of` says what it means for the job."""

    job_id: str
    status: JobStatus
    started_at: int
    exit_code: int | None
    code: str
    reason: str
    log_tail: tuple[str, ...]

    def seen_of(self, job: Job) -> JobSeen:
        """For `pkg.jobs.queries.report`."""
        if not self.status.is_terminal:
            is_running = self.status is JobStatus.RUNNING
            waits_for = "" if is_running else self.reason
            return JobSeen(self.job_id, is_running, waits_for, self.started_at)
        return JobSeen(self.job_id, started_at=self.started_at, end=self._end(job))

    def _end(self, job: Job) -> JobEnd:
        if self.status is JobStatus.TIMED_OUT:
            return rules.timed_out(job, self.log_tail)
        if self.status is JobStatus.STOPPED:
            return JobEnd(JobStatus.STOPPED, self.exit_code, log_tail=self.log_tail)
        if self.exit_code is not None:
            return rules.exited(self.exit_code, self.log_tail, self.reason)
        why = self.reason or "It could not be started."
        return JobEnd(JobStatus.FAILED, None, self.code or "job.not_started", why, self.log_tail)


def reports(request: pb.ReportJobsRequest) -> list[JobReport]:
    """The reports of the request. Raises InvalidArgument."""
    check_range("jobs", len(request.jobs), 0, MAX_JOBS)
    return [_report(f"jobs[{number}]", one) for number, one in enumerate(request.jobs)]


def _report(field: str, report: pb.JobReport) -> JobReport:
    if not is_id("job", report.job_id):
        raise InvalidArgument(f"{field}.job_id", f"{shown(report.job_id)} is not a job id")
    status = _STATUSES.get(report.status)
    if status is None:
        raise InvalidArgument(f"{field}.status", "is required")
    exit_code = report.exit_code if report.HasField("exit_code") else None
    if status is JobStatus.SUCCEEDED and exit_code is None:
        exit_code = 0
    return JobReport(
        job_id=report.job_id,
        status=status,
        started_at=min(max(0, report.started_at), 2**53),
        exit_code=exit_code,
        code=report.code if _CODE.fullmatch(report.code) else "",
        reason=clean(report.reason)[:MAX_REASON_CHARS],
        log_tail=tuple(lines_of(report.log_tail)),
    )
