"""Jobs as they are printed."""

import json

from sealift.cli.format.message_json import message_to_dict
from sealift.ctrl.v1 import job_pb2

STATUS_NAMES = {
    job_pb2.JOB_STATUS_PENDING: "pending",
    job_pb2.JOB_STATUS_RUNNING: "running",
    job_pb2.JOB_STATUS_SUCCEEDED: "succeeded",
    job_pb2.JOB_STATUS_FAILED: "failed",
    job_pb2.JOB_STATUS_STOPPED: "stopped",
    job_pb2.JOB_STATUS_TIMED_OUT: "timed out",
}
KIND_NAMES = {job_pb2.JOB_KIND_RELEASE: "release", job_pb2.JOB_KIND_RUN: "run"}


def job_json(job: job_pb2.Job) -> str:
    """One object."""
    return json.dumps(message_to_dict(job), ensure_ascii=False)
