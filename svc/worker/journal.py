"""A handler's way to Restate's journal: named steps, typed calls, waits.

Nothing here outlives a replay but what it returns. Results of steps are small msgspec structs of ids, verdicts and
times: never variables, secrets, addresses or log text.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
import restate
from google.protobuf.message import Message
from restate import Context, RunOptions, TerminalError, WorkflowSharedContext
from restate.context import RestateDurableFuture
from restate.exceptions import RetryableError
from restate.serde import Serde

from pkg.observability.tracing import is_traceparent
from pkg.restate.handler import Handler, Q, R
from pkg.restate.serde import ProtoSerde
from svc.worker.deps import WorkerDeps

P = ParamSpec("P")
T = TypeVar("T")

# Without limit: what a step needs comes back, and a row must not stay without its outcome.
FIRST_RETRY = timedelta(milliseconds=100)
LAST_RETRY = timedelta(seconds=5)
TRACE_HEADER = "traceparent"


class Journal:
    """Of one invocation.

    Args:
        ctx: Restate's context.
        deps: handed to every step.
        workflow: its name, for spans.
    """

    def __init__(self, ctx: Context, deps: WorkerDeps, workflow: str) -> None:
        self.ctx = ctx
        self.deps = deps
        self.traceparent = traceparent_of(ctx)
        self._workflow = workflow

    async def step(
        self,
        name: str,
        action: Callable[Concatenate[WorkerDeps, P], Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Runs `action(deps, …)` at least once and its journaled result ever after.

        An error in it is retried without limit, with growing pauses, unless it is a TerminalError.
        """

        async def run() -> Any:
            if not self.traceparent:  # of no trace: what it is part of was not traced either
                return await action(self.deps, *args, **kwargs)
            with self.deps.tracing.span(f"{self._workflow}.{name}", traceparent=self.traceparent):
                return await action(self.deps, *args, **kwargs)

        options: RunOptions[T] = RunOptions(
            serde=_Json(_result_type(action)), initial_retry_interval=FIRST_RETRY, max_retry_interval=LAST_RETRY
        )
        return await self.ctx.run_typed(name, run, options)

    def calling(self, handler: Handler[Q, Any], key: str, request: Q) -> RestateDurableFuture[bytes]:
        """Calls a handler; its reply's bytes come when awaited. Raises TerminalError when it ended with one."""
        body = request.SerializeToString(deterministic=True)
        return self.ctx.generic_call(handler.service, handler.name, body, key, headers=self._headers())

    async def call(self, handler: Handler[Q, R], key: str, request: Q) -> R:
        """Calls a handler and waits for its reply. Raises TerminalError when it ended with one."""
        return handler.reply.FromString(await self.calling(handler, key, request))

    def send(self, handler: Handler[Q, Any], key: str, request: Q, *, delay_ms: int = 0) -> None:
        """Calls a handler without waiting for it, after `delay_ms` at the earliest.

        A delayed call belongs to no trace: a trace ends with the work that it describes.
        """
        delay = timedelta(milliseconds=delay_ms) if delay_ms > 0 else None
        body = request.SerializeToString(deterministic=True)
        headers = None if delay else self._headers()
        self.ctx.generic_send(handler.service, handler.name, body, key, send_delay=delay, headers=headers)

    def _headers(self) -> dict[str, str] | None:
        return {TRACE_HEADER: self.traceparent} if self.traceparent else None

    async def wait(self, seconds: float, **futures: RestateDurableFuture[Any]) -> str | None:
        """Waits until one of the futures completes and says which; None when the time was up first.

        Never hand in a future that has completed before: it would complete again at once, for ever.
        """
        if not futures:
            await self.ctx.sleep(timedelta(seconds=seconds))
            return None
        name, _ = await restate.select(**futures, time_is_up=self.ctx.sleep(timedelta(seconds=seconds)))
        return None if name == "time_is_up" else str(name)

    async def first(self, **futures: RestateDurableFuture[Any]) -> str:
        """Waits until one of the futures completes and says which. For what is sure to end by itself.

        A call that ended with an error has completed, too: the error is raised when the call itself is awaited.
        """
        completed, _ = await restate.wait_completed(*futures.values())
        return next(name for name, future in futures.items() if future in completed)


def traceparent_of(ctx: Context) -> str:
    """The trace that the caller named, "" for none. The same at every replay."""
    named = ctx.request().headers.get(TRACE_HEADER, "")
    return named if is_traceparent(named) else ""


def check_code(journaled: int, current: int, workflow: str) -> None:
    """Refuses to go on with an invocation that other code has begun: its steps would not match the journal.

    Raises RetryableError: it waits for the code that began it, or for an operator who kills it; then the api's
    reconciliation ends the row.
    """
    if journaled != current:
        raise RetryableError(
            f"{workflow} was begun by code version {journaled}, this worker has {current}: start the worker that began "
            "it and let it finish (an upgrade is a drain), or kill this invocation",
            retry_after=timedelta(seconds=5),
        )


async def resolve_once(ctx: WorkflowSharedContext, promise: str, message: Message) -> None:
    """Resolves a durable promise. Idempotent: the first resolution stays."""
    durable = ctx.promise(promise, serde=ProtoSerde(type(message)))
    if await durable.peek() is not None:
        return
    try:
        await durable.resolve(message)
    except TerminalError:  # lost a race against another resolution
        return


class _Json(Serde[T]):
    """msgspec's JSON of whatever a step returns."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def serialize(self, obj: T | None) -> bytes:
        return msgspec.json.encode(obj)

    def deserialize(self, buf: bytes) -> T:
        found: T = msgspec.json.decode(buf, type=self._kind)
        return found


def _result_type(action: Callable[..., Awaitable[Any]]) -> Any:
    return inspect.signature(action, eval_str=True).return_annotation
