"""Follows the status of one solve until it ends, and marks where the daemon withheld output.

BuildKit before 0.10 (Docker before 23) never ends the status message in which more than 1 MiB of output came at once:
it sends that output and then only empty messages, and nothing that happens later (`retry` in `Controller.Status`,
fixed by https://github.com/moby/buildkit/commit/bb24010f6). Hence:

* Messages are read at once, so that few wait at the daemon: a wide window (`channel.OPTIONS`), and work in short
  pieces.
* A second status is requested as soon as a message reaches that size; it reports what follows, and takes over.

Newer daemons send empty messages, too, and go on afterwards: a second status would repeat or miss output there. They
are told apart by Info, which BuildKit 0.11 introduced.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import grpc
import grpc.aio

from pkg.buildkit.log_lines import mark
from pkg.buildkit.pb import control_pb2 as pb
from pkg.buildkit.status import Event, Tracker, is_split
from pkg.telemetry.events import BuildLine

if TYPE_CHECKING:
    from pkg.buildkit.pb.control_pb2_grpc import ControlAsyncStub

    Call: TypeAlias = grpc.aio.UnaryStreamCall[pb.StatusRequest, pb.StatusResponse]

# Without a message for so long after the solve, no more is expected: of a build that failed early (Docker 20.10 may
# never end the status of one), and of others, whose status ends unless the daemon is in trouble.
GRACE_S = 3.0
QUIET_S = 15.0
SETTLE_S = 20.0  # at least, after the solve, for what is under way, even past the build's time limit
INFO_TIMEOUT_S = 5.0
EMPTY_MESSAGES = 3  # in a row: a healthy daemon sends events, but for one at the end of a message in parts

GAP = (
    "output may be missing here: more than 1 MiB of it came at once, after which the builder of Docker before 23 stops"
    " sending it"
)
CUT = "the end of this log is missing: the builder did not send it"

OnEvents = Callable[[Sequence[Event]], Awaitable[None]]


class Follower:
    """Call `run` before the solve is requested, `settle` after it, then `missing`."""

    def __init__(self, control: "ControlAsyncStub", ref: str, tracker: Tracker, on_events: OnEvents) -> None:
        self._control = control
        self._ref = ref
        self._tracker = tracker
        self._on_events = on_events
        self._calls: list[Call] = []
        self._is_whole = False
        self._ends_in_gap = False
        self._is_busy = False
        self._heard_at = 0.0
        self._goes_on: bool | None = None  # not asked yet
        self.started = asyncio.Event()  # a step was reported

    async def run(self) -> None:
        """Feeds the tracker, and the consumer with what that makes of it. Errors of the consumer come out."""
        self._calls.append(self._ask())
        try:
            while self._calls:
                if await self._read(self._calls[0]):
                    self._is_whole = True
                    return
                self._calls.pop(0).cancel()
                if self._tracker.has_all_output:
                    self._is_whole = True
                    return
                await self._pass_on(self._tracker.gap(GAP))
                self._ends_in_gap = True
                if not self._calls:
                    self._calls.append(self._ask())
        except grpc.aio.AioRpcError:
            pass  # what ended it shows in the solve, or in what is missing
        finally:
            for call in self._calls:
                call.cancel()

    async def settle(self, running: asyncio.Task[None], *, succeeded: bool, ends_by: float) -> None:
        """Waits for the end of `run` while there is news, after the solve has ended.

        Args:
            running: the task of `run`, whose error comes out.
            succeeded: the solve did.
            ends_by: time of the loop up to which news are waited for, and then for SETTLE_S.
        """
        clock = asyncio.get_running_loop().time
        self._heard_at = clock()
        ends_by = max(ends_by, self._heard_at + SETTLE_S)
        while not running.done():
            # once a build has ended, only a status that was requested before reports anything
            is_due = (self._tracker.is_open or (succeeded and self.started.is_set())) and not self._ends_in_gap
            quiet_by = self._heard_at + (QUIET_S if is_due else GRACE_S)
            left = (ends_by if self._is_busy else min(quiet_by, ends_by)) - clock()
            if left <= 0:
                return
            await asyncio.wait({running}, timeout=min(left, GRACE_S))
        running.result()

    def missing(self, *, succeeded: bool) -> list[BuildLine]:
        """The lines to add at the end of the log; none for a build that failed early and reported all it had."""
        is_due = succeeded or self._tracker.is_open
        return [mark(CUT)] if is_due and not self._is_whole and not self._ends_in_gap else []

    def _ask(self) -> "Call":
        return self._control.Status(pb.StatusRequest(Ref=self._ref))

    async def _read(self, call: "Call") -> bool:
        """Whether the stream ended, and did not only stop reporting."""
        empty = 0
        async for message in call:
            empty = 0 if message.ByteSize() else empty + 1
            if empty == EMPTY_MESSAGES and not await self._goes_on_by_itself():
                return False
            if is_split(message) and len(self._calls) == 1 and not await self._goes_on_by_itself():
                self._calls.append(self._ask())
            elif message.vertexes or message.statuses:
                while len(self._calls) > 1:
                    self._calls.pop().cancel()  # the first one continues
            for events in self._tracker.feed_parts(message):
                await self._pass_on(events)
        return True

    async def _goes_on_by_itself(self) -> bool:
        """Whether the daemon is newer than the fault that ends a status silently; asked once, when it matters."""
        if self._goes_on is None:
            try:
                await self._control.Info(pb.InfoRequest(), timeout=INFO_TIMEOUT_S)
                self._goes_on = True
            except grpc.aio.AioRpcError as error:
                self._goes_on = error.code() is not grpc.StatusCode.UNIMPLEMENTED
        return self._goes_on

    async def _pass_on(self, events: Sequence[Event]) -> None:
        if events:  # a step that waits is no event
            self.started.set()
            self._ends_in_gap = False
            self._is_busy = True
            await self._on_events(events)
            self._is_busy = False
        self._heard_at = asyncio.get_running_loop().time()
        await asyncio.sleep(0)  # the daemon's bytes pass through this loop, too
