"""A command in an instance, as the client sees it: one call in both directions."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from sealift.client.errors import ClientError, UnreachableError
from sealift.ctrl.v1 import exec_pb2

if TYPE_CHECKING:
    import grpc

PIECE_BYTES = 64 << 10
STDIN_WINDOW_BYTES = 256 << 10  # of stdin, that the server takes beyond what the command has read
SILENCE_S = 45.0  # the server sends a keepalive every 10 s

Explain = Callable[["grpc.aio.AioRpcError"], Awaitable[ClientError]]


class ExecStream:
    """One command. `close` it: that ends the command, if it still runs.

    Methods that send may be used by several tasks. They do nothing once the call has ended; `read` says how it did.
    """

    def __init__(self, call: Any, explain: Explain) -> None:
        self._call = call
        self._explain = explain
        self._sending = asyncio.Lock()
        self._sent = self._taken = 0
        self._has_room = asyncio.Event()

    async def start(self, start: exec_pb2.ExecStart) -> None:
        """Asks for the command; the first thing to do."""
        await self._send(exec_pb2.ExecRequest(start=start))

    async def read(self) -> exec_pb2.ExecOutput:
        """What comes next: `started`, output, at last `exit`. Raises ClientError."""
        import grpc

        while True:
            try:
                async with asyncio.timeout(SILENCE_S):
                    answer = await self._call.read()
                if answer is grpc.aio.EOF:
                    await self._call.code()  # raises nothing; the status has come
                    raise await self._ended()
            except grpc.aio.AioRpcError as error:
                raise await self._explain(error) from None
            except TimeoutError:
                raise UnreachableError(
                    f"the server is silent for {SILENCE_S:.0f} s; the command is ended if the connection broke",
                    code="exec.interrupted",
                ) from None
            if not answer.HasField("output"):
                continue
            if answer.output.HasField("stdin_taken"):
                self._taken = answer.output.stdin_taken
                self._has_room.set()
                continue
            found: exec_pb2.ExecOutput = answer.output
            return found

    async def send_stdin(self, data: bytes) -> None:
        """Sends bytes; waits while the command does not take them."""
        for at in range(0, len(data), PIECE_BYTES):
            piece = data[at : at + PIECE_BYTES]
            while self._sent + len(piece) - self._taken > STDIN_WINDOW_BYTES:
                self._has_room.clear()
                await self._has_room.wait()
            self._sent += len(piece)
            await self.send(exec_pb2.ExecInput(stdin=piece))

    async def send(self, message: exec_pb2.ExecInput) -> None:
        """Sends anything else."""
        await self._send(exec_pb2.ExecRequest(input=message))

    def close(self) -> None:
        """Idempotent."""
        self._call.cancel()

    async def _send(self, request: exec_pb2.ExecRequest) -> None:
        import grpc

        async with self._sending:  # a call takes one message at a time
            try:
                await self._call.write(request)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
                return

    async def _ended(self) -> ClientError:
        import grpc

        code = await self._call.code()
        if code is grpc.StatusCode.OK:
            return UnreachableError("the server ended the call before the command", code="exec.interrupted")
        error = grpc.aio.AioRpcError(
            code,
            await self._call.initial_metadata(),
            await self._call.trailing_metadata(),
            details=await self._call.details(),
        )
        return await self._explain(error)
