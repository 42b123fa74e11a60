"""ClusterService in memory, on a real channel: the feed's rules as the api keeps them, and every report recorded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import cluster_pb2_grpc, job_pb2, log_pb2, routing_pb2, usage_pb2
from svc.krane.testing.exec_calls import FakeExecs

KEY = "slk_test_cluster"


@dataclass
class StoredLog:
    """What the api has of one source. A line that does not follow the one before it is not stored."""

    deployment_id: str
    instance_id: str
    lines: list[log_pb2.ReportedLine] = field(default_factory=list)
    resume: str = ""

    @property
    def texts(self) -> list[str]:
        """Of its lines; a long line in its pieces."""
        return [line.text for line in self.lines]


class FakeCluster(FakeExecs, cluster_pb2_grpc.ClusterServiceServicer):
    """One region's desired state and what krane said. `stop` and `start` make the control plane go and come back."""

    def __init__(self, installation_id: str) -> None:
        super().__init__()
        self.installation_id = installation_id
        self.epoch = "e1"
        self.version = 1
        self.topologies: dict[str, pb.Topology] = {}
        self.routes: dict[str, pb.DesiredRoute] = {}
        self.changes: list[pb.WatchDesiredStateResponse] = []
        self.registrations: list[pb.RegisterRequest] = []
        self.watches: list[pb.WatchDesiredStateRequest] = []
        self.reports: list[pb.ReportInstancesRequest] = []
        self.instances: dict[str, pb.InstanceReport] = {}
        self.jobs: dict[str, pb.DesiredJob] = {}
        self.job_reports: dict[str, pb.JobReport] = {}
        self.job_requests: list[pb.ReportJobsRequest] = []
        self.keep_jobs = False
        self.images: list[pb.ReportImagesRequest] = []
        self.unused_images: set[str] = set()
        self.access: list[pb.ReportAccessRequest] = []
        self.logs: dict[str, StoredLog] = {}  # by source
        self.usage: list[usage_pb2.UsageReport] = []
        self.refuse_logs = self.lose_answers = 0
        self.applied: list[pb.ReportAppliedRequest] = []
        self.heartbeats = 0
        self.beats: dict[str, pb.HeartbeatRequest] = {}  # the last one, by replica
        self.is_counted = True
        self.leader_term = 0
        self.held: set[str] = set()  # deployments that another replica still serves
        self.releases: list[pb.ListReleasedRequest] = []
        self.engine_away = ""
        self.refuse_reports = 0
        self._server: grpc.aio.Server | None = None
        self._address = "127.0.0.1:0"
        self._moved = asyncio.Condition()

    @property
    def address(self) -> str:
        """host:port; the same after every `start`."""
        return self._address

    async def start(self) -> None:
        """Listens."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        cluster_pb2_grpc.add_ClusterServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(self._address)
        self._address = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self) -> None:
        """Goes away; streams break."""
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def until(self, what: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
        """Waits until `what()` is true, looked at after everything krane says; answers it."""
        async with asyncio.timeout(timeout_s), self._moved:
            while not (found := what()):
                await self._moved.wait()
            return found

    async def until_state(self, instance_id: str, state: int, timeout_s: float = WAIT_S) -> pb.InstanceReport:
        """Waits for an instance to be reported in this state; else fails with what was reported of it."""

        def seen() -> pb.InstanceReport | None:
            report = self.instances.get(instance_id)
            return report if report is not None and report.state == state else None

        try:
            report: pb.InstanceReport = await self.until(seen, timeout_s)
        except TimeoutError:
            said = self.instances.get(instance_id) or "nothing"
            what = f"{instance_id} is not in state {state} within {timeout_s:g} s"
            raise AssertionError(f"{what}; reported: {said}") from None
        return report

    async def put(self, topology: pb.Topology) -> int:
        """Wants this; answers the change's version."""
        self.topologies[topology.deployment_id] = topology
        return await self.change(pb.WatchDesiredStateResponse(topology=topology))

    async def put_job(self, job: pb.DesiredJob) -> int:
        """Wants this job; answers the change's version."""
        self.jobs[job.job_id] = job
        return await self.change(pb.WatchDesiredStateResponse(job=job))

    async def remove_job(self, job_id: str) -> int:
        """Wants nothing of the job any more."""
        self.jobs.pop(job_id, None)
        return await self.change(pb.WatchDesiredStateResponse(job_removed=pb.JobRemoved(job_id=job_id)))

    async def until_job(
        self, job_id: str, status: job_pb2.JobStatus.ValueType, timeout_s: float = WAIT_S
    ) -> pb.JobReport:
        """Waits for a job to be reported with this status; else fails with what was reported of it."""

        def seen() -> pb.JobReport | None:
            report = self.job_reports.get(job_id)
            return report if report is not None and report.status == status else None

        try:
            report: pb.JobReport = await self.until(seen, timeout_s)
        except TimeoutError:
            said = self.job_reports.get(job_id) or "nothing"
            raise AssertionError(f"{job_id} is not in status {status} in {timeout_s:g} s; reported: {said}") from None
        return report

    async def remove(self, deployment_id: str) -> int:
        """Wants nothing of it any more."""
        self.topologies.pop(deployment_id, None)
        gone = pb.TopologyRemoved(deployment_id=deployment_id)
        return await self.change(pb.WatchDesiredStateResponse(topology_removed=gone))

    async def route(
        self, hostname: str, deployment_id: str, sticky: routing_pb2.StickyKind.ValueType = routing_pb2.STICKY_KIND_LIVE
    ) -> int:
        """Points a hostname at a deployment."""
        route = pb.DesiredRoute(hostname=hostname, deployment_id=deployment_id, sticky=sticky)
        self.routes[hostname] = route
        return await self.change(pb.WatchDesiredStateResponse(route=route))

    async def Register(  # noqa: N802
        self, request: pb.RegisterRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.RegisterResponse:
        """See cluster.proto."""
        await self._authorize(context)
        self.registrations.append(request)
        await self._tell()
        return pb.RegisterResponse(installation_id=self.installation_id, epoch=self.epoch, heartbeat_interval_s=1)

    async def Heartbeat(  # noqa: N802
        self, request: pb.HeartbeatRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.HeartbeatResponse:
        """See cluster.proto."""
        self.heartbeats += 1
        self.engine_away = request.engine_away
        self.beats[request.replica_id] = request
        await self._tell()
        return pb.HeartbeatResponse(is_counted=self.is_counted, leader_term=self.leader_term)

    async def ListReleased(  # noqa: N802
        self, request: pb.ListReleasedRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.ListReleasedResponse:
        """See cluster.proto."""
        self.releases.append(request)
        await self._tell()
        return pb.ListReleasedResponse(released=[one for one in request.deployment_ids if one not in self.held])

    async def ReportInstances(  # noqa: N802
        self, request: pb.ReportInstancesRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.ReportInstancesResponse:
        """See cluster.proto."""
        await self._authorize(context)
        if self.refuse_reports > 0:
            self.refuse_reports -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        self.reports.append(request)
        if request.complete:
            self.instances.clear()
        for report in request.instances:
            known = self.instances.get(report.instance_id)
            if known is None or known.observed_at <= report.observed_at:
                self.instances[report.instance_id] = report
        await self._tell()
        return pb.ReportInstancesResponse()

    async def ReportJobs(  # noqa: N802
        self, request: pb.ReportJobsRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.ReportJobsResponse:
        """See cluster.proto. A job that has ended is not desired any more, unless `keep_jobs`."""
        await self._authorize(context)
        if self.refuse_reports > 0:
            self.refuse_reports -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        self.job_requests.append(request)
        for report in request.jobs:
            known = self.job_reports.get(report.job_id)
            if known is None or known.status in (job_pb2.JOB_STATUS_PENDING, job_pb2.JOB_STATUS_RUNNING):
                self.job_reports[report.job_id] = report
            is_over = report.status not in (job_pb2.JOB_STATUS_PENDING, job_pb2.JOB_STATUS_RUNNING)
            if is_over and report.job_id in self.jobs and not self.keep_jobs:
                await self.remove_job(report.job_id)
        await self._tell()
        return pb.ReportJobsResponse()

    async def ReportImages(  # noqa: N802
        self, request: pb.ReportImagesRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.ReportImagesResponse:
        """See cluster.proto."""
        await self._authorize(context)
        self.images.append(request)
        await self._tell()
        listed = {image.image_ref for image in request.images}
        return pb.ReportImagesResponse(unused=sorted(self.unused_images & listed))

    async def ReportAccess(  # noqa: N802
        self, request: pb.ReportAccessRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.ReportAccessResponse:
        """See cluster.proto. UNAVAILABLE for the next `refuse_reports`."""
        await self._authorize(context)
        if self.refuse_reports:
            self.refuse_reports -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        self.access.append(request)
        await self._tell()
        return pb.ReportAccessResponse()

    async def ReportUsage(  # noqa: N802
        self, request: usage_pb2.ReportUsageRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> usage_pb2.ReportUsageResponse:
        """See cluster.proto."""
        await self._authorize(context)
        self.usage += request.reports
        await self._tell()
        return usage_pb2.ReportUsageResponse()

    async def ReportLogs(  # noqa: N802
        self, request: log_pb2.ReportLogsRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> log_pb2.ReportLogsResponse:
        """See cluster.proto. UNAVAILABLE for the next `refuse_logs`; stored, but not answered, for `lose_answers`."""
        await self._authorize(context)
        if self.refuse_logs:
            self.refuse_logs -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        heads = []
        for batch in request.batches:
            log = self.logs.setdefault(batch.source_id, StoredLog(batch.deployment_id, batch.instance_id))
            for line in batch.lines:
                if line.seq == len(log.lines) + 1:
                    log.lines.append(line)
            if batch.lines and batch.lines[-1].seq == len(log.lines):
                log.resume = batch.resume
            if not batch.lines:
                at = log.lines[-1].at if log.lines else 0
                heads.append(log_pb2.LogHead(source_id=batch.source_id, seq=len(log.lines), at=at, resume=log.resume))
        await self._tell()
        if self.lose_answers and any(batch.lines for batch in request.batches):
            self.lose_answers -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "lost")
        return log_pb2.ReportLogsResponse(heads=heads)

    async def ReportApplied(  # noqa: N802
        self, request: pb.ReportAppliedRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> pb.ReportAppliedResponse:
        """See cluster.proto."""
        self.applied.append(request)
        await self._tell()
        return pb.ReportAppliedResponse(is_counted=self.is_counted)

    async def WatchDesiredState(  # noqa: N802
        self, request: pb.WatchDesiredStateRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[pb.WatchDesiredStateResponse]:
        """See cluster.proto."""
        await self._authorize(context)
        self.watches.append(request)
        await self._tell()
        cursor = request.after_version
        if cursor == 0 or request.epoch != self.epoch or cursor > self.version:
            cursor = self.version
            for message in self._snapshot():
                yield message
        while True:
            for change in [one for one in self.changes if one.version > cursor]:
                yield change
            cursor = self.version
            yield pb.WatchDesiredStateResponse(version=cursor, head=pb.HeadReached())
            async with self._moved:
                await self._moved.wait_for(lambda seen=cursor: self.version > seen)  # type: ignore[misc]

    def _snapshot(self) -> list[pb.WatchDesiredStateResponse]:
        version = self.version
        return [
            pb.WatchDesiredStateResponse(version=version, snapshot_begin=pb.SnapshotBegin(epoch=self.epoch)),
            *(pb.WatchDesiredStateResponse(version=version, topology=t) for t in self.topologies.values()),
            *(pb.WatchDesiredStateResponse(version=version, route=r) for r in self.routes.values()),
            *(pb.WatchDesiredStateResponse(version=version, job=j) for j in self.jobs.values()),
            pb.WatchDesiredStateResponse(version=version, snapshot_end=pb.SnapshotEnd()),
        ]

    async def _authorize(self, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        metadata = dict(context.invocation_metadata() or ())
        if metadata.get("authorization") != f"Bearer {KEY}":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no key")

    async def change(self, change: pb.WatchDesiredStateResponse) -> int:
        """Sends this as the next change; answers its version."""
        self.version += 1
        change.version = self.version
        self.changes.append(change)
        await self._tell()
        return self.version

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()
