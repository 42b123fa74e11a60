"""Checks a stored archive in separate threads, reading it from the object store as a stream."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from pkg.contexts.archive import ContextReport, Limits, check_archive
from pkg.lifecycle.threads import close_in_thread
from pkg.storage.port import ObjectStore

THREADS = 2
PIECE_TIMEOUT_S = 60  # for the store to hand over one piece


class ContextChecker:
    """Checks archives of one store. At most two at a time; others wait. `close` it at the end."""

    def __init__(self, store: ObjectStore, limits: Limits | None = None) -> None:
        self._store = store
        self._limits = limits or Limits()
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="contexts")

    async def close(self) -> None:
        """Ends the threads. Cancel the checks under way first. Idempotent."""
        await close_in_thread(lambda: self._executor.shutdown(wait=True, cancel_futures=True))

    async def check(self, path: str, dockerfile_path: str = "Dockerfile") -> ContextReport:
        """Reads the object once and returns what it holds. Cancelling ends the reading at the next piece.

        Raises:
            ContextRejected: the archive is not to be built.
            NotFound: `object.not_found`.
            TimeoutError: the store stopped answering.
        """
        loop = asyncio.get_running_loop()
        pieces = _Pieces(loop, self._store.open_read(path))
        try:
            return await loop.run_in_executor(self._executor, check_archive, pieces, dockerfile_path, self._limits)
        finally:
            await pieces.aclose()


class _Pieces:
    """The store's pieces, for the checking thread to read (`archive.Packed`)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pieces: AsyncIterator[bytes]) -> None:
        self._loop = loop
        self._pieces = pieces
        self._rest = memoryview(b"")
        self._turn = asyncio.Lock()
        self._closed = False
        # set on the loop: the thread learns of a call that has started only after it may have to be cancelled
        self._reading: asyncio.Task[bytes] | None = None

    def read(self, size: int) -> bytes:
        """In the checking thread: at most `size` bytes, none at the end."""
        if not self._rest:
            reading = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
            self._rest = memoryview(reading.result(PIECE_TIMEOUT_S + 5))
        data, self._rest = self._rest[:size], self._rest[size:]
        return bytes(data)

    async def _next(self) -> bytes:
        async with self._turn, asyncio.timeout(PIECE_TIMEOUT_S):
            self._reading = asyncio.current_task()
            if self._closed:
                raise ConnectionAbortedError("the check was cancelled")
            return await anext(self._pieces, b"")

    async def aclose(self) -> None:
        """Ends the thread's read, fails its next one, and closes the store's reader."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
        async with self._turn:
            if isinstance(self._pieces, AsyncGenerator):
                await self._pieces.aclose()
