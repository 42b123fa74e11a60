"""When a deployment is reconciled next: requests from outside, and what each pass asks for itself."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """What a reconcile pass asks for, as in controller-runtime.

    Attributes:
        requeue_after_s: seconds until the next pass at the latest; None: one is needed only when something changes.
        is_done: nothing is wanted and nothing is left: the reconciler ends.
    """

    requeue_after_s: float | None = None
    is_done: bool = False


def soonest(results: Iterable[Result]) -> Result:
    """The result of a pass whose parts have these, none of them done."""
    return Result(min((r.requeue_after_s for r in results if r.requeue_after_s is not None), default=None))


class ChangedError(Exception):
    """The topology changed while a pass waited."""


class WorkQueue:
    """The requests of one deployment, which are the same key: many become one pass. Lives on one loop.

    Anyone may `add`; the deployment's reconciler alone waits. `take` begins every pass.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._requested = asyncio.Event()

    def add(self, *, changed: bool = False) -> None:
        """Asks for a pass soon; `changed` when the topology is another, which ends what a pass waits for."""
        if changed:
            self._changed.set()
        self._requested.set()

    @property
    def is_requested(self) -> bool:
        """Whether a requested pass has not started yet."""
        return self._requested.is_set()

    def take(self) -> None:
        """Starts a pass: what is requested from now on is for the next one."""
        self._requested.clear()
        self._changed.clear()

    async def wait(self, requeue_after_s: float | None) -> None:
        """Waits until a pass is requested, at most so many seconds; None: without limit."""
        try:
            async with asyncio.timeout(requeue_after_s):
                await self._requested.wait()
        except TimeoutError:
            pass

    async def unless_changed(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result; ChangedError, with the work cancelled, as soon as the topology is another."""
        task = asyncio.ensure_future(work)
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({task, changed}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise ChangedError
        finally:
            task.cancel()
            changed.cancel()
            await asyncio.gather(task, changed, return_exceptions=True)
