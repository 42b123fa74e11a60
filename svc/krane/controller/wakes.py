"""What wakes the passes of one deployment, and cuts short what they wait for."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class ChangedError(Exception):
    """The topology changed while a pass waited."""


class Wakes:
    """Asked for by anyone, awaited by the deployment's reconciler alone. `begin` opens every pass."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()

    def wake(self, *, changed: bool = False) -> None:
        """Asks for a pass soon; `changed` when the topology is another, which ends what a pass waits for."""
        if changed:
            self._changed.set()
        self._wake.set()

    @property
    def is_woken(self) -> bool:
        """Whether a pass was asked for that has not begun."""
        return self._wake.is_set()

    def begin(self) -> None:
        """A pass begins: what is asked for from now on is for the next one."""
        self._wake.clear()
        self._changed.clear()

    async def sleep(self, delay_s: float | None) -> None:
        """Waits until a pass is asked for, at most so many seconds; None: without limit."""
        try:
            async with asyncio.timeout(delay_s):
                await self._wake.wait()
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
