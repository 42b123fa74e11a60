"""Keeps a sealed file in step with state in memory: written after every change, never waited for by who changes it."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pkg.observability.logging import fields
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.sealed_file import SealedFile
from svc.krane.ingress.broadcast import Broadcast

log = logging.getLogger(__name__)


class WriteBehind:
    """One write at a time; changes that come meanwhile share the next one. Lives on one loop; `close` it.

    Each change has a save generation, which counts from 1.

    Args:
        frames: the file's content for the state as it is; called on the loop, so it must not block.
        interval_s: pause after each write, for company.
        on_saved: called after each write, before those who wait for it continue.
    """

    def __init__(
        self,
        file: SealedFile,
        frames: Callable[[], list[bytes]],
        *,
        interval_s: float = 0.0,
        on_saved: Callable[[], None] = lambda: None,
    ) -> None:
        self._file = file
        self._frames = frames
        self._interval_s = interval_s
        self._on_saved = on_saved
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=file.path.stem)
        file.sweep()
        self._wake = asyncio.Event()
        self._written = Broadcast()
        self._saved = 0
        self.generation = 0

    def changed(self) -> int:
        """The state is another; answers its save generation, for `wait_saved`."""
        self.generation += 1
        self._wake.set()
        return self.generation

    async def wait_saved(self, generation: int, timeout_s: float) -> bool:
        """Waits until the change of this save generation is on disk; False when time ran out (disk full)."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._saved < generation:
                    await self._written.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Writes until cancelled; a write that fails is tried again."""
        backoff = Backoff(0.2, 10)
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not await self._write():
                self._wake.set()
                await asyncio.sleep(backoff.next_s())
                continue
            backoff.reset()
            await asyncio.sleep(self._interval_s)

    async def close(self) -> None:
        """Writes what is not written yet, if it can. A write under way finishes in its thread (it is atomic)."""
        if self._saved < self.generation:
            await self._write()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _write(self) -> bool:
        generation, frames = self.generation, self._frames()
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._store, frames)
        except OSError as error:
            log.error("a file of krane cannot be stored", extra=fields(path=str(self._file.path), error=str(error)))
            return False
        self._saved = generation
        self._on_saved()
        self._written.notify()
        return True

    def _store(self, frames: list[bytes]) -> None:
        self._file.store(self._file.encode(frames))
