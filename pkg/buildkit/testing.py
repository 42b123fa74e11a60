"""A BuildKit control API of our own making, for what a real daemon does not do on demand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from pkg.buildkit.pb import control_pb2 as pb
from pkg.buildkit.pb import control_pb2_grpc
from pkg.buildkit.solver import Solve
from pkg.testing.wait import WAIT_S

SIGNED = "http://store/objects/x?signature=abc"


class Daemon(control_pb2_grpc.ControlServicer):
    """A BuildKit daemon whose answers the test sets."""

    def __init__(self) -> None:
        self.messages: list[pb.StatusResponse] = []
        self.pause_s = 0.0  # after each message
        self.later: list[pb.StatusResponse] = []  # what the second status and the ones after it have
        self.is_stuck = False  # the first status has empty messages without an end after its own
        self.status_ends = True
        self.answer: Callable[[Any], Any] = lambda _: pb.SolveResponse(
            ExporterResponse={"containerimage.digest": "sha256:1"}
        )
        self.request: pb.SolveRequest | None = None
        self.metadata: dict[str, str] = {}
        self.version = ""
        self.has_worker = True
        self.subscribed = asyncio.Event()
        self.solving = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def Solve(self, request: pb.SolveRequest, context: Any) -> pb.SolveResponse:  # noqa: N802
        """The answer that the test sets, once a status was requested."""
        self.request, self.metadata = request, dict(context.invocation_metadata())
        try:
            await asyncio.wait_for(self.subscribed.wait(), WAIT_S)
            self.solving.set()
            answer = self.answer(context)
            made: pb.SolveResponse = await answer if asyncio.iscoroutine(answer) else answer
            return made
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def Status(self, request: pb.StatusRequest, context: Any) -> AsyncIterator[pb.StatusResponse]:  # noqa: N802
        """The messages that the test gives."""
        messages, is_stuck = (self.later, False) if self.subscribed.is_set() else (self.messages, self.is_stuck)
        self.subscribed.set()
        for message in messages:
            yield message
            await asyncio.sleep(self.pause_s)
        while is_stuck:
            yield pb.StatusResponse()
        if not self.status_ends:
            await asyncio.sleep(3600)

    async def Session(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.BytesMessage]:  # noqa: N802
        """An echo."""
        async for message in request_iterator:
            yield message

    async def ListWorkers(self, request: Any, context: Any) -> pb.ListWorkersResponse:  # noqa: N802
        """One worker, or none."""
        if not self.has_worker:
            return pb.ListWorkersResponse()
        platform = pb.Platform(OS="linux", Architecture="amd64")
        return pb.ListWorkersResponse(record=[pb.WorkerRecord(platforms=[platform])])

    async def ListenBuildHistory(self, request: Any, context: Any) -> AsyncIterator[pb.BuildHistoryEvent]:  # noqa: N802
        """Nothing."""
        for event in list[pb.BuildHistoryEvent]():
            yield event

    async def Info(self, request: Any, context: Any) -> pb.InfoResponse:  # noqa: N802
        """The version that the test sets."""
        if self.is_stuck:  # as daemons with that fault
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown method Info")
        return pb.InfoResponse(buildkitVersion=pb.BuildkitVersion(version=self.version))


def spec(**fields: Any) -> Solve:
    """A build; fields go into it."""
    given: dict[str, Any] = {
        "frontend_attrs": {"context": SIGNED}, "exporter": "moby", "exporter_attrs": {"name": "x"}, "session_id": "s",
    }  # fmt: skip
    return Solve(**given | fields)
