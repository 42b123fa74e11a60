"""How a workflow leaves its list of steps early."""

from collections.abc import Awaitable, Callable
from enum import StrEnum


class End(StrEnum):
    """Why it leaves."""

    FAILED = "failed"  # the reason is noted in the row
    STOPPED = "stopped"  # cancelled or superseded
    OVER = "over"  # the row is terminal: someone else has ended it


class GiveUpError(Exception):
    """Raised by a step's wrapper, never inside a durable step: what it says was journaled before."""

    def __init__(self, end: End) -> None:
        super().__init__(end.value)
        self.end = end


class Compensations:
    """What takes the steps back. Each is added before its step is taken, and they run last in, first out.

    Every one repeats without limit until it is done, and is no error when its step never happened.
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], Awaitable[None]]] = []

    def add(self, undo: Callable[[], Awaitable[None]]) -> None:
        """Before the step that `undo` takes back."""
        self._undo.append(undo)

    async def run(self) -> None:
        """All of them, the last one first."""
        while self._undo:
            await self._undo.pop()()
