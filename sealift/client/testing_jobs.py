# ruff: noqa: N802, D102 - the methods are those of the protocol, described there
"""Jobs of the fake server, which a test moves."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from sealift.client.testing_servicer import FakeServicer, refuse
from sealift.ctrl.v1 import job_pb2, job_pb2_grpc


class FakeJobs(FakeServicer, job_pb2_grpc.JobServiceServicer):
    """JobService.

    Attributes:
        jobs: by id; `job_moves` changes one.
        commands: the RunCommand requests.
        stops: ids of the jobs that were stopped; each is then ended as stopped.
    """

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, job_pb2.Job] = {}
        self.commands: list[job_pb2.RunCommandRequest] = []
        self.stops: list[str] = []
        self._job_moved = asyncio.Event()

    async def job_moves(self, job_id: str, status: job_pb2.JobStatus.ValueType, **fields: Any) -> None:
        """The job is in this status."""
        job = self.jobs[job_id]
        job.MergeFrom(job_pb2.Job(status=status, **fields))
        self._job_moved.set()
        self._job_moved = asyncio.Event()

    async def RunCommand(self, request: Any, context: Any) -> Any:
        await self._enter("RunCommand", context)
        self.commands.append(request)
        ident = f"job_{len(self.commands)}"
        self.jobs[ident] = job_pb2.Job(
            job_id=ident,
            kind=job_pb2.JOB_KIND_RUN,
            status=job_pb2.JOB_STATUS_PENDING,
            environment_id=request.environment_id,
            deployment_id="dep_1",
            region="local",
            instance_id=ident.replace("_", "-"),
            command=request.command,
            created_at=1,
        )
        return job_pb2.RunCommandResponse(job=self.jobs[ident])

    async def GetJob(self, request: Any, context: Any) -> Any:
        await self._enter("GetJob", context)
        if request.job_id not in self.jobs:
            await refuse(context, "NOT_FOUND", "job.not_found", "there is no such job")
        return job_pb2.GetJobResponse(job=self.jobs[request.job_id])

    async def ListJobs(self, request: Any, context: Any) -> Any:
        await self._enter("ListJobs", context)
        return job_pb2.ListJobsResponse(jobs=reversed(self.jobs.values()))

    async def WatchJob(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._enter("WatchJob", context)
        while True:
            moved, job = self._job_moved, self.jobs[request.job_id]
            yield job_pb2.WatchJobResponse(job=job)
            if job.status > job_pb2.JOB_STATUS_RUNNING:
                return
            await moved.wait()

    async def StopJob(self, request: Any, context: Any) -> Any:
        await self._enter("StopJob", context)
        self.stops.append(request.job_id)
        await self.job_moves(request.job_id, job_pb2.JOB_STATUS_STOPPED, stop_requested=True)
        return job_pb2.StopJobResponse(job=self.jobs[request.job_id])
