"""Wakes those who wait for a commit."""

import asyncio

from pkg.db.commits.watcher import CommitWatcher

# Others are watched a little longer than someone waits: who was woken reads, and often waits again.
LINGER_S = 1.0


class CommitNotifier:
    """Counts commits: this process's own at once, those of others through the watcher while someone waits.

    Attributes:
        position: where the sequence of commits stands now. Take it before reading what you will wait for.
    """

    def __init__(self, watcher: CommitWatcher) -> None:
        self.position = 0
        self._watcher = watcher
        self._waiters: set[asyncio.Future[None]] = set()
        self._watching: asyncio.Task[None] | None = None

    def notify(self) -> None:
        """Counts a commit and wakes everyone who waits. From the event loop."""
        self.position += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self, after: int, timeout_s: float) -> int:
        """Waits until someone, in any process, has committed since `after`; the new position, or `after` on timeout.

        May wake without a change that concerns the caller: read again, always.
        """
        if self.position > after:
            return self.position
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(), name="db-commits")
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return after
        finally:
            self._waiters.discard(waiter)
        return self.position

    async def close(self) -> None:
        """Ends the watching."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        self._watcher.close()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        needed_at = loop.time()
        next_commit = asyncio.create_task(self._watcher.next_commit(), name="db-next-commit")
        try:
            while self._waiters or loop.time() - needed_at < LINGER_S:
                if self._waiters:
                    needed_at = loop.time()
                await asyncio.wait([next_commit], timeout=LINGER_S)
                if next_commit.done():
                    next_commit.result()
                    self.notify()
                    next_commit = asyncio.create_task(self._watcher.next_commit(), name="db-next-commit")
        finally:
            next_commit.cancel()
            await asyncio.wait([next_commit])
        self._watcher.pause()
