"""The owner of a service's tasks and cleanups."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 30.0
CLEANUP_TIMEOUT_S = 10.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Cleanup:
    name: str
    run: Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True, eq=False)
class _Owned:
    name: str
    task: asyncio.Task[Any]
    grace_s: float


class Runner:
    """Tasks and cleanups in the order they were registered; a stop unwinds that order backwards.

    A task is cancelled and awaited, a cleanup is run, each when its turn comes: whatever was registered later is gone
    by then, whatever was registered earlier (a pool, a store) still works. Each step has `cleanup_timeout_s`, the
    whole stop `stop_timeout_s`.

    Attributes:
        stopping: set once a stop was requested; readiness and long polls read it.
        reason: why it stops, as text; "" while running.
        abandoned: names of the tasks that did not end when cancelled.
    """

    def __init__(self, *, stop_timeout_s: float = STOP_TIMEOUT_S, cleanup_timeout_s: float = CLEANUP_TIMEOUT_S) -> None:
        self.stopping = asyncio.Event()
        self.reason = ""
        self.abandoned: list[str] = []
        self._stop_timeout_s = stop_timeout_s
        self._cleanup_timeout_s = cleanup_timeout_s
        self._stack: list[_Owned | _Cleanup] = []
        self._errors: list[BaseException] = []
        self._starting: _Owned | None = None
        self._unwinding: asyncio.Task[None] | None = None

    def spawn(self, name: str, coro: Coroutine[Any, Any, T], *, grace_s: float = 0.0) -> asyncio.Task[T]:
        """Run `coro` as a task of this runner; an error in it stops everything.

        Ending without an error is fine. Once stopping, the task is cancelled before its first step. `grace_s` is how
        long a stop waits for the task to end by itself (because it watches `stopping`) before it is cancelled; it may
        be longer than `cleanup_timeout_s`, and ends with `stop_timeout_s`.
        """
        owned = self._own(name, coro, grace_s)
        self._stack.append(owned)
        if self.stopping.is_set():
            owned.task.cancel()
        return owned.task

    def defer(self, name: str, cleanup: Callable[[], Awaitable[object]]) -> None:
        """Runs `cleanup` during the stop, in reverse order of registration, even if others fail.

        Raises:
            RuntimeError: the stop has ended, so nothing would run it.
        """
        if self._unwinding is not None and self._unwinding.done():
            raise RuntimeError(f"{name}: registered after the stop was over")
        self._stack.append(_Cleanup(name, cleanup))

    def stop(self, reason: str = "") -> None:
        """Ask for the stop; returns at once. Idempotent: the first reason stays. Call it on the loop's thread."""
        if not self.stopping.is_set():
            self.reason = reason or "asked to stop"
            log.info("stopping: %s", self.reason)
            self.stopping.set()

    async def run(self, start: Coroutine[Any, Any, None]) -> None:
        """Run `start`, which builds the parts and returns, then `wait()`. A stop meanwhile cancels `start`."""
        self._starting = self._own("start", start, 0.0)
        await self.wait()

    async def wait(self) -> None:
        """Wait for a stop, unwind, and raise the first error if there was one. Further calls give the same outcome.

        Cancelling the caller does not interrupt the unwinding; it asks for a stop and ends after it.
        """
        cancelled: asyncio.CancelledError | None = None
        try:
            await self.stopping.wait()
        except asyncio.CancelledError as error:
            cancelled = error
            self.stop("cancelled")
        if self._unwinding is None:
            self._unwinding = asyncio.get_running_loop().create_task(self._unwind(), name="unwind")
        while not self._unwinding.done():
            try:
                await asyncio.shield(self._unwinding)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        if self._errors:
            first, *others = self._errors
            for other in others:
                note = f"also: {type(other).__name__}: {other}"
                if note not in getattr(first, "__notes__", ()):
                    first.add_note(note)
            raise first

    async def __aenter__(self) -> "Runner":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop and unwind. An error of the body stays the one that is raised."""
        self.stop("done" if error is None else f"{type(error).__name__} while running")
        try:
            await self.wait()
        except BaseException as other:
            if error is None:
                raise
            if other is not error:
                error.add_note(f"also: {type(other).__name__}: {other}")

    def _own(self, name: str, coro: Coroutine[Any, Any, T], grace_s: float) -> _Owned:
        owned = _Owned(name, asyncio.get_running_loop().create_task(coro, name=name), grace_s)
        owned.task.add_done_callback(lambda _: self._ended(owned))
        return owned

    def _ended(self, owned: _Owned) -> None:
        task = owned.task
        if not self.stopping.is_set() and owned in self._stack:
            self._stack.remove(owned)
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("task %s failed", owned.name, exc_info=error)
        self._errors.append(error)
        self.stop(f"task {owned.name} failed")

    async def _unwind(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._stop_timeout_s
        if self._starting is not None:
            await self._end_task(self._starting, self._cleanup_timeout_s)  # first: it may still be building
        while self._stack:  # a cleanup may still register another one
            entry = self._stack.pop()
            if isinstance(entry, _Owned) and entry.grace_s > 0 and (left_s := deadline - loop.time()) > 0:
                await asyncio.wait({entry.task}, timeout=min(entry.grace_s, left_s))
            timeout_s = max(0.0, min(self._cleanup_timeout_s, deadline - loop.time()))
            if isinstance(entry, _Owned):
                await self._end_task(entry, timeout_s)
            else:
                await self._clean(entry, timeout_s)
        log.info("stopped")

    async def _end_task(self, owned: _Owned, timeout_s: float) -> None:
        if not owned.task.done():
            owned.task.cancel()
            # one round of the loop even when the time is used up, so that a well-behaved task can end
            await asyncio.wait({owned.task}, timeout=max(timeout_s, 0.01))
        if not owned.task.done():
            self.abandoned.append(owned.name)
            self._failed(TimeoutError(f"task {owned.name} did not end within {timeout_s:.1f} s of its cancellation"))

    async def _clean(self, cleanup: _Cleanup, timeout_s: float) -> None:
        async def run() -> None:
            await cleanup.run()

        task = asyncio.get_running_loop().create_task(run(), name=f"cleanup-{cleanup.name}")
        done, _ = await asyncio.wait({task}, timeout=max(timeout_s, 0.01))
        if not done:
            task.cancel()
            task.add_done_callback(_retrieve)
            await asyncio.wait({task}, timeout=0.1)
            if not task.done():
                self.abandoned.append(cleanup.name)
            self._failed(TimeoutError(f"cleanup {cleanup.name} did not end within {timeout_s:.1f} s"))
        elif not task.cancelled() and (error := task.exception()):
            error.add_note(f"in cleanup {cleanup.name}")
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        log.error("while stopping: %s", error, exc_info=error)
        self._errors.append(error)


def _retrieve(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # an abandoned task's error was reported as a timeout; asyncio need not complain again
