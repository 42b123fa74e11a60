"""How a workflow leaves its list of steps early, and what takes the steps back."""

from collections.abc import Awaitable, Callable
from enum import StrEnum


class ExitReason(StrEnum):
    """Why a workflow leaves its list of steps."""

    FAILED = "failed"  # the reason is noted in the row
    STOPPED = "stopped"  # cancelled or superseded
    OVER = "over"  # the row is terminal: someone else has ended it


class WorkflowExit(Exception):  # noqa: N818 - control flow: the reason says whether it is a failure
    """Leaves the list of steps. Raised outside of durable steps: what it carries was journaled before."""

    def __init__(self, reason: ExitReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Compensations:
    """Take steps back, last in, first out. Each is added before its step runs.

    A compensation repeats without limit until it succeeds, and does nothing when its step never happened.
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], Awaitable[None]]] = []

    def add(self, undo: Callable[[], Awaitable[None]]) -> None:
        """Adds what takes back the step that comes next."""
        self._undo.append(undo)

    async def run(self) -> None:
        """Runs all of them, the last one first."""
        while self._undo:
            await self._undo.pop()()
