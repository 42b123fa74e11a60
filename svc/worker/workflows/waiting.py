"""Waits: look at the database, wait for a bell or some seconds, look again.

Reports are stored before a bell rings, so a lost bell costs one poll and nothing else.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from restate import WorkflowContext
from restate.context import RestateDurableFuture

from pkg.restate.serde import ProtoSerde
from sealift.workflow.v1.workflow_pb2 import NotifyRequest, StopRequest
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.elapsed import Elapsed, Tick, tick
from svc.worker.workflows.ends import End, GiveUpError

P = ParamSpec("P")

STOP = "stop"
INSTANCES = "instances"
APPLIED = "applied"


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a look found.

    Attributes:
        settled: nothing more to wait for.
        now: when it looked, epoch milliseconds.
        at: the same by the clock that deadlines are counted by.
    """

    settled: bool
    now: int
    at: Tick = msgspec.field(default_factory=tick)


L = TypeVar("L", bound=Look)


class Stop:
    """The workflow's `stop` promise: rung by a cancel or by a newer deploy."""

    def __init__(self, ctx: WorkflowContext) -> None:
        self.future: RestateDurableFuture[StopRequest] = ctx.promise(STOP, serde=ProtoSerde(StopRequest)).value()


FIRST_PAUSE_S = 0.02


class Bell:
    """A promise that says "look now", once."""

    def __init__(self, ctx: WorkflowContext, name: str) -> None:
        self._future: RestateDurableFuture[NotifyRequest] | None = ctx.promise(
            name, serde=ProtoSerde(NotifyRequest)
        ).value()

    def futures(self) -> dict[str, RestateDurableFuture[Any]]:
        """To wait for; none once it has rung, as it would ring for ever."""
        return {} if self._future is None else {"bell": self._future}

    def has_rung(self) -> None:
        """Waits no longer for it."""
        self._future = None


async def watch(
    journal: Journal,
    name: str,
    look: Callable[Concatenate[WorkerDeps, P], Coroutine[Any, Any, L]],
    timeout_s: float,
    bell: Bell | None,
    stop: Stop | None,
    *args: P.args,
    **kwargs: P.kwargs,
) -> L:
    """Looks until it settles or `timeout_s` is over; the last look.

    After the bell it looks soon again, with growing pauses: it may have rung for an earlier report than the one wanted.
    Raises GiveUpError(STOPPED) when `stop` rings. `stop` None: past the point of no return.
    """
    elapsed, pause_s, waited_s = Elapsed(), journal.deps.config.deploy.wait_poll_s, 0.0
    while True:
        seen = await journal.step(name, look, *args, **kwargs)
        left_s = timeout_s - elapsed.at(seen.at, int(waited_s * 1000)) / 1000
        if seen.settled or left_s <= 0:
            return seen
        futures = {} if bell is None else bell.futures()
        if stop is not None:
            futures[STOP] = stop.future
        waited_s = min(pause_s, left_s)
        rung = await journal.wait(waited_s, **futures)
        pause_s = min(pause_s * 2, journal.deps.config.deploy.wait_poll_s)
        if rung == STOP:
            raise GiveUpError(End.STOPPED)
        if rung == "bell" and bell is not None:
            bell.has_rung()
            pause_s = FIRST_PAUSE_S
