"""Kinds and statuses of jobs in messages."""

from pkg.jobs.model import JobKind, JobStatus
from sealift.ctrl.v1 import job_pb2 as pb

JOB_KINDS = {JobKind.RELEASE: pb.JOB_KIND_RELEASE, JobKind.RUN: pb.JOB_KIND_RUN}
JOB_STATUSES = {
    JobStatus.PENDING: pb.JOB_STATUS_PENDING,
    JobStatus.RUNNING: pb.JOB_STATUS_RUNNING,
    JobStatus.SUCCEEDED: pb.JOB_STATUS_SUCCEEDED,
    JobStatus.FAILED: pb.JOB_STATUS_FAILED,
    JobStatus.STOPPED: pb.JOB_STATUS_STOPPED,
    JobStatus.TIMED_OUT: pb.JOB_STATUS_TIMED_OUT,
}
