# ruff: noqa: N802, D102 - the methods are those of the protocol, described there
"""Access figures of the fake server, which a test sets."""

from typing import Any

from sealift.client.testing_servicer import FakeServicer
from sealift.ctrl.v1 import stats_pb2, stats_pb2_grpc


class FakeStats(FakeServicer, stats_pb2_grpc.StatsServiceServicer):
    """StatsService.

    Attributes:
        stats: what GetStats answers.
        stats_requests: that it got.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stats = stats_pb2.GetStatsResponse()
        self.stats_requests: list[stats_pb2.GetStatsRequest] = []

    async def GetStats(self, request: Any, context: Any) -> Any:
        await self._enter("GetStats", context)
        self.stats_requests.append(request)
        return self.stats
