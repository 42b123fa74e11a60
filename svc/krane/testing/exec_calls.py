# ruff: noqa: N802, D102 - the methods are those of the protocol, described there
"""The part of ClusterService that is about commands: a test asks for them as a client would."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from pkg.ids import new_id
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import exec_pb2 as pb


class FakeExecCall:
    """One command, as the client sees it.

    Attributes:
        inputs: what is sent to krane; None ends the call.
        is_over: krane's call has ended.
    """

    def __init__(self) -> None:
        self.inputs: asyncio.Queue[pb.ExecInput | None] = asyncio.Queue()
        self.outputs: asyncio.Queue[pb.ConnectExecRequest] = asyncio.Queue()
        self.is_over = asyncio.Event()

    def send(self, **fields: Any) -> None:
        """Sends an input."""
        self.inputs.put_nowait(pb.ExecInput(**fields))

    async def next(self) -> pb.ConnectExecRequest:
        """What krane says next."""
        async with asyncio.timeout(WAIT_S):
            return await self.outputs.get()

    async def until_exit(self) -> tuple[bytes, bytes, pb.ExecExit]:
        """All that it prints, and how it ends."""
        out, err = b"", b""
        while True:
            message = (await self.next()).output
            out, err = out + message.stdout, err + message.stderr
            if message.HasField("exit"):
                return out, err, message.exit


class FakeExecs:
    """See cluster.proto."""

    def __init__(self) -> None:
        super().__init__()
        self.exec_tasks: asyncio.Queue[pb.ExecTask] = asyncio.Queue()
        self.execs: dict[str, FakeExecCall] = {}

    def ask(self, start: pb.ExecStart, instance_id: str = "") -> FakeExecCall:
        """Asks for a command."""
        task = pb.ExecTask(exec_id=new_id("exec"), start=start, instance_id=instance_id)
        call = self.execs[task.exec_id] = FakeExecCall()
        self.exec_tasks.put_nowait(task)
        return call

    async def ServeExecs(
        self, request: pb.ServeExecsRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[pb.ServeExecsResponse]:
        yield pb.ServeExecsResponse()
        while True:
            yield pb.ServeExecsResponse(task=await self.exec_tasks.get())

    async def ConnectExec(
        self, requests: AsyncIterator[pb.ConnectExecRequest], context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[pb.ConnectExecResponse]:
        first = await anext(requests)
        call = self.execs[first.exec_id]

        async def read() -> None:
            async for request in requests:
                call.outputs.put_nowait(request)
            call.inputs.put_nowait(None)

        reading = asyncio.create_task(read())
        try:
            while (message := await call.inputs.get()) is not None:
                yield pb.ConnectExecResponse(input=message)
        finally:
            reading.cancel()
            call.is_over.set()
