"""Waits: observe the database, wait for a notification or some seconds, observe again.

Reports are stored before a workflow is notified, so a lost notification costs one poll.
"""

import math
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from restate import WorkflowContext
from restate.context import RestateDurableFuture

from pkg.restate.serde import ProtoSerde
from sealift.workflow.v1.workflow_pb2 import NotifyRequest, StopRequest
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.compensation import ExitReason, WorkflowExit
from svc.worker.workflows.elapsed import Tick, TimeLeft, tick

P = ParamSpec("P")

# Names of durable promises; they are in journals.
STOP = "stop"
INSTANCES = "instances"
APPLIED = "applied"
RELEASED = "released"

FIRST_PAUSE_S = 0.02
UNBOUNDED_S = math.inf
UNBOUNDED_PAUSE_S = 15.0  # what may take days must not fill the journal


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What an observation found.

    Attributes:
        settled: there is nothing more to wait for.
        now: when it was made, epoch ms.
        at: the same by the clock that deadlines are counted by.
    """

    settled: bool
    now: int
    at: Tick = msgspec.field(default_factory=tick)

    @property
    def is_unseen(self) -> bool:
        """Whether it could not be seen what is waited for."""
        return False


O = TypeVar("O", bound=Observation)  # noqa: E741 - as in Observation


class StopSignal:
    """The workflow's `stop` promise: resolved by a cancel or a newer deploy."""

    def __init__(self, ctx: WorkflowContext) -> None:
        self.future: RestateDurableFuture[StopRequest] = ctx.promise(STOP, serde=ProtoSerde(StopRequest)).value()


class WakeUp:
    """A durable promise that ends a pause early, once."""

    def __init__(self, ctx: WorkflowContext, promise: str) -> None:
        self._future: RestateDurableFuture[NotifyRequest] | None = ctx.promise(
            promise, serde=ProtoSerde(NotifyRequest)
        ).value()

    def futures(self) -> dict[str, RestateDurableFuture[Any]]:
        """What to wait for; nothing once it was used, as a resolved promise stays resolved."""
        return {} if self._future is None else {"wake_up": self._future}

    def use(self) -> None:
        """Stops waiting for it."""
        self._future = None


async def watch(
    journal: Journal,
    name: str,
    observe: Callable[Concatenate[WorkerDeps, P], Coroutine[Any, Any, O]],
    timeout_s: float,
    wake_up: WakeUp | None,
    stop: StopSignal | None,
    *args: P.args,
    **kwargs: P.kwargs,
) -> O:
    """Runs the step `name` until it is settled or `timeout_s` has passed, and returns the last observation.

    Time in which nothing could be seen is given again once something can, see `TimeLeft`.

    After a notification it observes again soon, with growing pauses: the notification may be of an earlier report than
    the one that is waited for. `stop` None: past the point of no return. `timeout_s` UNBOUNDED_S: the pauses grow up to
    UNBOUNDED_PAUSE_S.

    Raises:
        WorkflowExit: STOPPED, on `stop`.
    """
    time_left, pause_s, waited_s = TimeLeft(timeout_s), journal.deps.config.deploy.wait_poll_s, 0.0
    longest_s = UNBOUNDED_PAUSE_S if timeout_s == UNBOUNDED_S else pause_s
    while True:
        observed = await journal.step(name, observe, *args, **kwargs)
        left_s = time_left.at(observed.at, int(waited_s * 1000), is_unseen=observed.is_unseen)
        if observed.settled or left_s <= 0:
            return observed
        futures = {} if wake_up is None else wake_up.futures()
        if stop is not None:
            futures[STOP] = stop.future
        waited_s = min(pause_s, left_s)
        completed = await journal.wait(waited_s, **futures)
        pause_s = min(pause_s * 2, longest_s)
        if completed == STOP:
            raise WorkflowExit(ExitReason.STOPPED)
        if completed == "wake_up" and wake_up is not None:
            wake_up.use()
            pause_s = FIRST_PAUSE_S
