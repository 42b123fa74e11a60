# ruff: noqa: N802, D102 - the methods are those of the protocol, described there
"""Access figures and usage of the fake server, which a test sets."""

from typing import Any

from sealift.client.testing_servicer import FakeServicer
from sealift.ctrl.v1 import stats_pb2, stats_pb2_grpc, usage_pb2


class FakeStats(FakeServicer, stats_pb2_grpc.StatsServiceServicer):
    """StatsService.

    Attributes:
        stats: what GetStats answers.
        stats_requests: that it got.
        usage: what GetUsage answers.
        usage_requests: that it got.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stats = stats_pb2.GetStatsResponse()
        self.stats_requests: list[stats_pb2.GetStatsRequest] = []
        self.usage = usage_pb2.GetUsageResponse()
        self.usage_requests: list[usage_pb2.GetUsageRequest] = []

    async def GetStats(self, request: Any, context: Any) -> Any:
        await self._enter("GetStats", context)
        self.stats_requests.append(request)
        return self.stats

    async def GetUsage(self, request: Any, context: Any) -> Any:
        await self._enter("GetUsage", context)
        self.usage_requests.append(request)
        return self.usage
