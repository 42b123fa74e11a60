"""The two calls of a command: what the client sends and gets, what krane gets and sends."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

from pkg.errors import BY_GRPC_STATUS, InvalidArgument, SealiftError, Unavailable
from sealift.ctrl.v1 import exec_pb2 as pb
from svc.api.execs.broker import KEEPALIVE_S
from svc.api.execs.channel import ClosedError
from svc.api.execs.session import ExecSession

MAX_REFUSAL_CHARS = 1024
T = TypeVar("T")


async def client_call(
    session: ExecSession, following: AsyncIterator[pb.ExecRequest]
) -> AsyncGenerator[pb.ExecResponse]:
    """What the client gets; what it sends is taken meanwhile. Ends after `exit`, or raises the session's problem."""
    feeding = asyncio.create_task(_feed(session, following), name="exec-input")
    try:
        async for output in _with_keepalives(session.next_output):
            yield pb.ExecResponse(output=output)
        if session.problem is not None:
            raise session.problem
    finally:
        await _end(feeding)


async def krane_call(
    session: ExecSession, following: AsyncIterator[pb.ConnectExecRequest]
) -> AsyncGenerator[pb.ConnectExecResponse]:
    """What krane gets; what it sends is taken meanwhile. Ends with the session."""
    reading = asyncio.create_task(_read(session, following), name="exec-output")
    try:
        async for message in _with_keepalives(session.next_input):
            yield pb.ConnectExecResponse(input=message)
    finally:
        await _end(reading)
        await session.lost()


async def _feed(session: ExecSession, following: AsyncIterator[pb.ExecRequest]) -> None:
    with contextlib.suppress(ClosedError):
        try:
            async for request in following:
                if not request.HasField("input"):
                    raise InvalidArgument("input", "is required in every message but the first")
                await session.input(request.input)
        except SealiftError as error:
            await session.fail(error)
        # A client that sends no more still reads: the end of its stdin has a message of its own.


async def _read(session: ExecSession, following: AsyncIterator[pb.ConnectExecRequest]) -> None:
    with contextlib.suppress(ClosedError):
        async for request in following:
            if request.HasField("refusal"):
                await session.fail(_refusal(request.refusal))
            elif request.HasField("output"):
                await session.output(request.output)
        await session.lost()


async def _with_keepalives(next_one: Callable[[], Awaitable[T]]) -> AsyncGenerator[T | None]:
    """The items until the channel is closed; None when there was none for a while. No item is lost to a timeout."""
    asking: asyncio.Future[T] | None = None
    try:
        while True:
            asking = asking or asyncio.ensure_future(next_one())
            done, _ = await asyncio.wait({asking}, timeout=KEEPALIVE_S)
            if not done:
                yield None
                continue
            try:
                item = asking.result()
            except ClosedError:
                return
            asking = None
            yield item
    finally:
        if asking is not None:
            asking.cancel()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _refusal(message: pb.ExecRefusal) -> SealiftError:
    kind = BY_GRPC_STATUS.get(message.status, Unavailable)
    if kind is InvalidArgument or not message.code.startswith(("exec.", "engine.", "kubernetes.")):
        kind, code = Unavailable, "exec.interrupted"
    else:
        code = message.code[:64]
    return kind(code, message.message[:MAX_REFUSAL_CHARS])
