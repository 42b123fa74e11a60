"""Streams that reconnect: each is resumed where it ended, and while streams fail the state is polled.

A lost stream is not a failed deployment. These iterators end only with a terminal status from the server, after
`GIVE_UP_S` without contact, or with an error that a retry can't solve (unknown id, revoked key).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from sealift.client.client import Client
from sealift.client.errors import ClientError, ServerError, TimedOutError, UnreachableError
from sealift.ctrl.v1 import build_pb2, deletion_pb2, deployment_pb2, job_pb2

POLL_S = 5.0
GIVE_UP_S = 600.0
READ_GIVE_UP_S = 5.0  # where nothing is waited for
REOPEN_FIRST_S = 0.2
REOPEN_MAX_S = 5.0
NOTICE_AFTER_S = 3.0  # without an answer
# Consecutive failed streams before the state is polled.
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
TERMINAL_BUILD = frozenset(
    {build_pb2.BUILD_STATUS_SUCCEEDED, build_pb2.BUILD_STATUS_FAILED, build_pb2.BUILD_STATUS_CANCELLED}
)
TERMINAL_OPERATION = frozenset({deployment_pb2.OPERATION_STATUS_DONE, deployment_pb2.OPERATION_STATUS_FAILED})
TERMINAL_JOB = frozenset(
    {
        job_pb2.JOB_STATUS_SUCCEEDED,
        job_pb2.JOB_STATUS_FAILED,
        job_pb2.JOB_STATUS_STOPPED,
        job_pb2.JOB_STATUS_TIMED_OUT,
    }
)
TERMINAL_DELETION = frozenset({deletion_pb2.DELETION_STATUS_DONE, deletion_pb2.DELETION_STATUS_FAILED})

State = TypeVar("State")
Notice = Callable[[str], None]


def _silent(_: str) -> None:
    return


class Outage:
    """The duration of an outage, and the wait before the next try."""

    def __init__(self, poll_s: float, give_up_s: float) -> None:
        self._poll_s = poll_s
        self._give_up_s = give_up_s
        self._since: float | None = None
        self._wait_s = REOPEN_FIRST_S
        self.failures = 0

    @property
    def is_long(self) -> bool:
        """Whether streams failed often enough to notify the user and to poll less often."""
        return self.failures > STREAM_FAILURES_BEFORE_POLLING

    def answered(self) -> None:
        """The server has answered a call, even if streams fail."""
        self._since = None

    def reset(self) -> None:
        """A stream has delivered a message."""
        self._since, self._wait_s, self.failures = None, REOPEN_FIRST_S, 0

    async def wait_or_raise(self, error: ClientError) -> None:
        """Wait before the next try, or raise `error` if the outage has lasted too long."""
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
    outage = Outage(poll_s, give_up_s)
    is_notified = False

    def notify() -> None:
        nonlocal is_notified
        if not is_notified:
            notice(f"lost the connection to the server; the work continues there, retrying every {poll_s:.0f} s")
        is_notified = True

    while True:
        try:
            async for state in stream():
                outage.reset()
                if is_notified:
                    notice("reconnected")
                    is_notified = False
                yield state
                if is_terminal(state):
                    return
            await asyncio.sleep(REOPEN_FIRST_S)
        except TimedOutError:
            pass  # the stream's own deadline; the call below checks the server
        except _RETRYABLE as error:
            await outage.wait_or_raise(error)
        try:
            state = await _within(NOTICE_AFTER_S, ask(), notify)
        except _RETRYABLE as error:
            if outage.is_long:
                notify()
            await outage.wait_or_raise(error)
        else:
            outage.answered()
            yield state
            if is_terminal(state):
                return


async def _within(limit_s: float, work: Awaitable[State], notify: Callable[[], None]) -> State:
    """The result of `work`, which has its own retries; `notify` is called if it takes longer than `limit_s`."""
    working = asyncio.ensure_future(work)
    try:
        if not (await asyncio.wait({working}, timeout=limit_s))[0]:
            notify()
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
    """The deployment now and after every change; the last one is terminal.

    Raises:
        ClientError: no contact for `give_up_s`, or an error that a retry can't solve (unknown id, revoked key).
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
    """The operation now and after every change; the last one is terminal. Raises like `follow_deployment`."""

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


async def follow_deletion(
    client: Client,
    deletion_id: str,
    *,
    notice: Notice = _silent,
    poll_s: float = POLL_S,
    give_up_s: float = GIVE_UP_S,
) -> AsyncIterator[deletion_pb2.Deletion]:
    """The deletion now and after every change; the last one is terminal. Raises like `follow_deployment`."""

    async def stream() -> AsyncIterator[deletion_pb2.Deletion]:
        async for message in client.stream_deletion(deletion_id):
            yield message.deletion

    states = _follow(
        stream,
        lambda: client.deletion(deletion_id),
        lambda deletion: deletion.status in TERMINAL_DELETION,
        notice,
        poll_s,
        give_up_s,
    )
    async for deletion in states:
        yield deletion


async def follow_build(
    client: Client,
    build_id: str,
    *,
    changed: asyncio.Event,
    notice: Notice = _silent,
    poll_s: float = POLL_S,
    give_up_s: float = GIVE_UP_S,
) -> AsyncIterator[build_pb2.Build]:
    """The build now and at every poll; the last one is terminal. Raises like `follow_deployment`.

    There is no stream of a build's states: whoever follows the log sets `changed` when the log says that the state has
    changed.
    """
    wait_s = REOPEN_FIRST_S

    async def poll() -> AsyncIterator[build_pb2.Build]:
        nonlocal wait_s
        while True:
            changed.clear()
            yield await client.build(build_id)
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), wait_s)
            wait_s = min(wait_s * 2, poll_s)

    states = _follow(
        poll, lambda: client.build(build_id), lambda build: build.status in TERMINAL_BUILD, notice, poll_s, give_up_s
    )
    async for build in states:
        yield build


async def follow_job(
    client: Client,
    job_id: str,
    *,
    notice: Notice = _silent,
    poll_s: float = POLL_S,
    give_up_s: float = GIVE_UP_S,
) -> AsyncIterator[job_pb2.Job]:
    """The job now and after every change; the last one is terminal. Raises like `follow_deployment`."""

    async def stream() -> AsyncIterator[job_pb2.Job]:
        async for message in client.stream_job(job_id):
            yield message.job

    states = _follow(
        stream, lambda: client.job(job_id), lambda job: job.status in TERMINAL_JOB, notice, poll_s, give_up_s
    )
    async for job in states:
        yield job


async def follow_build_logs(
    client: Client,
    build_id: str,
    *,
    after_seq: int = 0,
    follow: bool = True,
    steps_only: bool = False,
    notice: Notice = _silent,
    give_up_s: float | None = None,
) -> AsyncIterator[build_pb2.GetBuildLogsResponse]:
    """A build's events after `after_seq`, each once and in order, over any number of streams.

    With `follow` it ends after the `end` event, else after the stored events. With `steps_only`, lines are left out.

    Args:
        client: of the server.
        build_id: of the build.
        after_seq: number of the last event that is not wanted.
        follow: whether to wait for events that are to come.
        steps_only: leaves lines out.
        notice: called once for each time that the server answers and can't read the log, as its store is away.
        give_up_s: for how long; None: 600 s with `follow`, else 5 s.

    Raises:
        ClientError: no event for `give_up_s`, or an error that a retry can't solve.
    """
    seq = after_seq
    outage = Outage(POLL_S, (GIVE_UP_S if follow else READ_GIVE_UP_S) if give_up_s is None else give_up_s)
    is_notified = False
    while True:
        try:
            async for event in client.stream_build_logs(build_id, after_seq=seq, follow=follow, steps_only=steps_only):
                outage.reset()
                is_notified = False
                if event.WhichOneof("event") == "end":
                    yield event
                    return
                if event.seq > seq:
                    seq = event.seq
                    if steps_only and event.WhichOneof("event") == "line":  # from a server that does not know the field
                        continue
                    yield event
            if not follow:
                return
            await asyncio.sleep(REOPEN_FIRST_S)
        except TimedOutError:
            if outage.failures:
                await outage.wait_or_raise(TimedOutError("the server stopped answering"))
        except _RETRYABLE as error:
            if outage.failures and not is_notified and error.code != UnreachableError.default_code:
                notice(f"the build log can't be read ({error.message}); trying again")
                is_notified = True
            await outage.wait_or_raise(error)
