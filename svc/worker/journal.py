"""A handler's access to Restate's journal: named steps, typed calls, waits.

Only what these return survives a replay. Results of steps are small msgspec structs of ids, outcomes and times: never
variables, secrets, addresses or log text.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
import restate
from restate import Context, RunOptions
from restate.context import RestateDurableFuture
from restate.serde import Serde

from pkg.observability.tracing import is_traceparent
from pkg.restate.handler import Handler, Q, R
from svc.worker.deps import WorkerDeps

P = ParamSpec("P")
T = TypeVar("T")

# Without limit: what a step needs comes back, and every row must get its outcome.
FIRST_RETRY = timedelta(milliseconds=100)
LAST_RETRY = timedelta(seconds=5)
TRACE_HEADER = "traceparent"


class Journal:
    """The journal of one invocation.

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
        """Runs `action(deps, …)` at least once; once its result is journaled, returns that result.

        An error in it is retried without limit, with growing pauses, unless it is a TerminalError.
        """

        async def run() -> Any:
            if not self.traceparent:  # the work that this step is part of is not traced
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
        """Waits until one of the futures completes, and returns its name; None after `seconds`.

        Never pass a future that has completed before: it completes again at once.
        """
        if not futures:
            await self.ctx.sleep(timedelta(seconds=seconds))
            return None
        name, _ = await restate.select(**futures, time_is_up=self.ctx.sleep(timedelta(seconds=seconds)))
        return None if name == "time_is_up" else str(name)

    async def first(self, **futures: RestateDurableFuture[Any]) -> str:
        """Waits, without a bound, until one of the futures completes, and returns its name.

        A call that ended with an error has completed too: the error is raised when the call itself is awaited.
        """
        completed, _ = await restate.wait_completed(*futures.values())
        return next(name for name, future in futures.items() if future in completed)


def traceparent_of(ctx: Context) -> str:
    """The trace that the caller named, "" for none. The same at every replay."""
    named = ctx.request().headers.get(TRACE_HEADER, "")
    return named if is_traceparent(named) else ""


class _Json(Serde[T]):
    """The result of a step as msgspec's JSON."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def serialize(self, obj: T | None) -> bytes:
        return msgspec.json.encode(obj)

    def deserialize(self, buf: bytes) -> T:
        found: T = msgspec.json.decode(buf, type=self._kind)
        return found


def _result_type(action: Callable[..., Awaitable[Any]]) -> Any:
    return inspect.signature(action, eval_str=True).return_annotation
