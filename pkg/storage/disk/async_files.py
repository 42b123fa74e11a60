"""The files of a Disk store for callers on the event loop: each blocking call runs in a separate thread."""

import asyncio
import errno
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from pkg.lifecycle.threads import close_in_thread
from pkg.storage.disk import files
from pkg.storage.disk.files import CHUNK_BYTES, Stored, Upload
from pkg.storage.port import check_path

THREADS = 4

P = ParamSpec("P")
T = TypeVar("T")


class AsyncFiles:
    """The objects below `root`, which is made (0700) when missing."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="objects")
        files.prepare(self.root)

    async def close(self) -> None:
        """Ends the threads; calls under way finish first. Idempotent."""
        await close_in_thread(lambda: self._executor.shutdown(wait=True, cancel_futures=True))

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs blocking work in the store's own threads."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: fn(*args, **kwargs))

    async def find(self, path: str) -> Stored | None:
        """The object and its file, or None."""
        return await self.run(files.find, self.root, check_path(path))

    async def start_upload(self, path: str, size_bytes: int) -> Upload:
        """A new upload; the caller commits or aborts it. A cancelled caller leaves no file behind.

        Raises:
            ResourceExhausted: `object.disk_full`.
        """
        making = asyncio.create_task(self.run(Upload, self.root, check_path(path), size_bytes), name="start-upload")
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            await asyncio.wait({making})
            if making.exception() is None:
                await self.run(making.result().abort)
            raise

    async def read(self, stored: Stored, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """`length` bytes from `start`, in pieces of at most 1 MiB.

        Raises:
            FileNotFoundError: the object was deleted in between.
        """
        file = await self.run(open, stored.file, "rb", 0)
        try:
            await self.run(file.seek, start)
            while length > 0:
                piece = await self.run(file.read, min(CHUNK_BYTES, length))
                if not piece:
                    raise OSError(errno.EIO, f"{stored.file} is shorter than it was")
                length -= len(piece)
                yield piece
        finally:
            file.close()
