"""Streams that survive: each is resumed where it ended, and while streams fail the state is asked for instead.

A lost stream is not a failed deployment: only the server's own terminal status ends these iterators, or a server that
stays away for `GIVE_UP_S`, or an error that no repeat can mend (unknown id, revoked key).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from sealift.client.client import Client
from sealift.client.errors import ClientError, ServerError, TimedOutError, UnreachableError
from sealift.ctrl.v1 import build_pb2, deployment_pb2

POLL_S = 5.0
GIVE_UP_S = 600.0
REOPEN_FIRST_S = 0.2
REOPEN_MAX_S = 5.0
TELL_AFTER_S = 3.0  # how long a person may wonder why nothing happens
# Streams in a row that brought nothing before the state is asked for by plain calls.
STREAM_FAILURES_BEFORE_POLLING = 2

_RETRYABLE = (UnreachableError, TimedOutError, ServerError)
TERMINAL_DEPLOYMENT = frozenset(
    {
        deployment_pb2.DEPLOYMENT_STATUS_READY,
        deployment_pb2.DEPLOYMENT_STATUS_FAILED,
        deployment_pb2.DEPLOYMENT_STATUS_CANCELLED,
        deployment_pb2.DEPLOYMENT_STATUS_SUPERSEDED,
    }
)
TERMINAL_OPERATION = frozenset({deployment_pb2.OPERATION_STATUS_DONE, deployment_pb2.OPERATION_STATUS_FAILED})

State = TypeVar("State")
Notice = Callable[[str], None]


def _silent(_: str) -> None:
    return


class _Outage:
    """How long the server has been away, and how long to wait before the next try."""

    def __init__(self, poll_s: float, give_up_s: float) -> None:
        self._poll_s = poll_s
        self._give_up_s = give_up_s
        self._since: float | None = None
        self._wait_s = REOPEN_FIRST_S
        self.failures = 0

    @property
    def is_long(self) -> bool:
        """Whether streams failed often enough to speak of it and to ask by plain calls only now and then."""
        return self.failures > STREAM_FAILURES_BEFORE_POLLING

    def answered(self) -> None:
        """The server is there, whatever its streams do."""
        self._since = None

    def reset(self) -> None:
        """A stream works."""
        self._since, self._wait_s, self.failures = None, REOPEN_FIRST_S, 0

    async def wait_or_raise(self, error: ClientError) -> None:
        """Wait before the next try, or raise `error` when the server has been away too long."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since > self._give_up_s:
            raise error
        self.failures += 1
        await asyncio.sleep(self._poll_s if self.is_long else self._wait_s)
        self._wait_s = min(self._wait_s * 2, REOPEN_MAX_S)


async def _follow(
    stream: Callable[[], AsyncIterator[State]],
    ask: Callable[[], Awaitable[State]],
    is_terminal: Callable[[State], bool],
    notice: Notice,
    poll_s: float,
    give_up_s: float,
) -> AsyncIterator[State]:
    outage = _Outage(poll_s, give_up_s)
    was_told = False

    def tell() -> None:
        nonlocal was_told
        if not was_told:
            notice(f"lost contact to the server; it goes on without us, asking again every {poll_s:.0f} s")
        was_told = True

    while True:
        try:
            async for state in stream():
                outage.reset()
                if was_told:
                    notice("connected again")
                    was_told = False
                yield state
                if is_terminal(state):
                    return
            await asyncio.sleep(REOPEN_FIRST_S)
        except TimedOutError:
            pass  # the stream's own deadline; the call below tells whether the server is still there
        except _RETRYABLE as error:
            await outage.wait_or_raise(error)
        try:
            state = await _within(TELL_AFTER_S, ask(), tell)
        except _RETRYABLE as error:
            if outage.is_long:
                tell()
            await outage.wait_or_raise(error)
        else:
            outage.answered()
            yield state
            if is_terminal(state):
                return


async def _within(limit_s: float, work: Awaitable[State], tell: Callable[[], None]) -> State:
    """The outcome of `work`, which tries for long by itself; `tell` is called when it took longer than `limit_s`."""
    working = asyncio.ensure_future(work)
    try:
        if not (await asyncio.wait({working}, timeout=limit_s))[0]:
            tell()
        return await working
    finally:
        working.cancel()


async def follow_deployment(
    client: Client,
    deployment_id: str,
    *,
    notice: Notice = _silent,
    poll_s: float = POLL_S,
    give_up_s: float = GIVE_UP_S,
) -> AsyncIterator[deployment_pb2.Deployment]:
    """The deployment now and after every change, the terminal one last.

    Raises:
        ClientError: the server stayed away for `give_up_s`, or no repeat can help (unknown id, revoked key).
    """

    async def stream() -> AsyncIterator[deployment_pb2.Deployment]:
        async for message in client.stream_deployment(deployment_id):
            yield message.deployment

    states = _follow(
        stream,
        lambda: client.deployment(deployment_id),
        lambda deployment: deployment.status in TERMINAL_DEPLOYMENT,
        notice,
        poll_s,
        give_up_s,
    )
    async for deployment in states:
        yield deployment


async def follow_operation(
    client: Client,
    operation_id: str,
    *,
    notice: Notice = _silent,
    poll_s: float = POLL_S,
    give_up_s: float = GIVE_UP_S,
) -> AsyncIterator[deployment_pb2.Operation]:
    """The operation now and after every change, the terminal one last. Raises as `follow_deployment`."""

    async def stream() -> AsyncIterator[deployment_pb2.Operation]:
        async for message in client.stream_operation(operation_id):
            yield message.operation

    states = _follow(
        stream,
        lambda: client.operation(operation_id),
        lambda operation: operation.status in TERMINAL_OPERATION,
        notice,
        poll_s,
        give_up_s,
    )
    async for operation in states:
        yield operation


async def follow_build_logs(
    client: Client, build_id: str, *, after_seq: int = 0, follow: bool = True, give_up_s: float = GIVE_UP_S
) -> AsyncIterator[build_pb2.GetBuildLogsResponse]:
    """A build's events after `after_seq`, each once and in order, over as many streams as it takes.

    With `follow` it ends after the `end` event, else at the end of what is stored.

    Raises:
        ClientError: the server stayed away for `give_up_s`, or no repeat can help.
    """
    seq = after_seq
    outage = _Outage(POLL_S, give_up_s)
    while True:
        try:
            async for event in client.stream_build_logs(build_id, after_seq=seq, follow=follow):
                outage.reset()
                if event.WhichOneof("event") == "end":
                    yield event
                    return
                if event.seq > seq:
                    seq = event.seq
                    yield event
            if not follow:
                return
            await asyncio.sleep(REOPEN_FIRST_S)
        except TimedOutError:
            if outage.failures:
                await outage.wait_or_raise(TimedOutError("the server stopped answering"))
        except _RETRYABLE as error:
            await outage.wait_or_raise(error)
