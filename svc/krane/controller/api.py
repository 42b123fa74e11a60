"""krane's side of ClusterService: one channel, the key in every call, a deadline on every unary one."""

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import cluster_pb2_grpc, exec_pb2, log_pb2, usage_pb2

DEADLINE_S = 10.0
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A complete report or one topology with all its variables is far below this; the default of 4 MiB may not be.
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    ("grpc.max_send_message_length", 32 * 1024 * 1024),
)


class ClusterApi:
    """Calls of the api. Every method raises grpc.aio.AioRpcError; retrying is the caller's. `close` it."""

    def __init__(self, target: str, key: str, *, is_tls: bool = False) -> None:
        self._channel = (
            grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=_OPTIONS)
            if is_tls
            else grpc.aio.insecure_channel(target, options=_OPTIONS)
        )
        self._stub = cluster_pb2_grpc.ClusterServiceStub(self._channel)
        self._metadata = (("authorization", f"Bearer {key}"),)

    async def register(self, request: pb.RegisterRequest) -> pb.RegisterResponse:
        """Idempotent."""
        answer: pb.RegisterResponse = await self._stub.Register(request, metadata=self._metadata, timeout=DEADLINE_S)
        return answer

    async def heartbeat(self, request: pb.HeartbeatRequest) -> pb.HeartbeatResponse:
        """Sends a heartbeat."""
        answer: pb.HeartbeatResponse = await self._stub.Heartbeat(request, metadata=self._metadata, timeout=DEADLINE_S)
        return answer

    async def list_released(self, request: pb.ListReleasedRequest) -> pb.ListReleasedResponse:
        """Which of these deployments no replica's ingress sends requests to. Changes nothing."""
        answer: pb.ListReleasedResponse = await self._stub.ListReleased(
            request, metadata=self._metadata, timeout=DEADLINE_S
        )
        return answer

    async def report_instances(self, request: pb.ReportInstancesRequest) -> None:
        """Idempotent: later reports of one instance win."""
        await self._stub.ReportInstances(request, metadata=self._metadata, timeout=DEADLINE_S)

    async def report_applied(self, request: pb.ReportAppliedRequest, traceparent: str = "") -> pb.ReportAppliedResponse:
        """Idempotent: versions never go back. `traceparent`: the trace that the report belongs to, "" for none."""
        metadata = (*self._metadata, ("traceparent", traceparent)) if traceparent else self._metadata
        answer: pb.ReportAppliedResponse = await self._stub.ReportApplied(
            request, metadata=metadata, timeout=DEADLINE_S
        )
        return answer

    async def report_access(self, request: pb.ReportAccessRequest) -> None:
        """Idempotent: of a report's revisions the highest counts."""
        await self._stub.ReportAccess(request, metadata=self._metadata, timeout=DEADLINE_S)

    async def report_usage(self, request: usage_pb2.ReportUsageRequest) -> None:
        """Idempotent: of a series' reports the highest number counts."""
        await self._stub.ReportUsage(request, metadata=self._metadata, timeout=DEADLINE_S)

    async def report_logs(self, request: log_pb2.ReportLogsRequest) -> log_pb2.ReportLogsResponse:
        """Stores lines of apps. Idempotent: lines that are stored change nothing."""
        answer: log_pb2.ReportLogsResponse = await self._stub.ReportLogs(
            request, metadata=self._metadata, timeout=DEADLINE_S
        )
        return answer

    async def report_jobs(self, request: pb.ReportJobsRequest) -> None:
        """How jobs are. Idempotent: a job ends once."""
        await self._stub.ReportJobs(request, metadata=self._metadata, timeout=DEADLINE_S)

    async def report_images(self, request: pb.ReportImagesRequest) -> pb.ReportImagesResponse:
        """Which of these images are unused. Idempotent."""
        answer: pb.ReportImagesResponse = await self._stub.ReportImages(
            request, metadata=self._metadata, timeout=DEADLINE_S
        )
        return answer

    async def watch_desired_state(
        self, request: pb.WatchDesiredStateRequest
    ) -> AsyncIterator[pb.WatchDesiredStateResponse]:
        """The feed, until the api ends it; closing the iterator cancels the call."""
        call = self._stub.WatchDesiredState(request, metadata=self._metadata)
        try:
            async for message in call:
                yield message
        finally:
            call.cancel()

    async def serve_execs(self, request: exec_pb2.ServeExecsRequest) -> AsyncIterator[exec_pb2.ServeExecsResponse]:
        """The commands that clients ask for, until the api ends it; closing the iterator cancels the call."""
        call = self._stub.ServeExecs(request, metadata=self._metadata)
        try:
            async for message in call:
                yield message
        finally:
            call.cancel()

    def connect_exec(self) -> Any:
        """The call of one command, not begun: `write` its first message, then `read` and `write`; `cancel` it."""
        return self._stub.ConnectExec(metadata=self._metadata)

    async def close(self) -> None:
        """Ends the channel and every call on it."""
        await self._channel.close(grace=None)
