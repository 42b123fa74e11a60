"""The Disk adapter: objects as files of one directory, reached from outside by signed URLs that `disk_http` serves."""

import asyncio
import errno
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from pkg.storage import files
from pkg.storage.files import CHUNK_BYTES, Stored, Upload, not_found
from pkg.storage.port import SHA256_HEX, ObjectInfo, check_path
from pkg.storage.signer import Grant, UrlSigner

THREADS = 4

P = ParamSpec("P")
T = TypeVar("T")


class DiskStore:
    """`port.ObjectStore` on a directory. Several processes may share the directory and the signing key.

    Args:
        root: made (0700) when missing.
        signer: of the URLs.
        base_url: where `disk_http` is served, without a trailing slash, e.g. "http://127.0.0.1:7401".
    """

    def __init__(self, root: Path, signer: UrlSigner, base_url: str) -> None:
        self.root = root.resolve()
        self.signer = signer
        self._base_url = base_url.rstrip("/")
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="objects")
        files.prepare(self.root)

    def close(self) -> None:
        """Ends the threads; calls under way finish first. Idempotent."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs blocking work in the store's own threads."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: fn(*args, **kwargs))

    # -- port ------------------------------------------------------------------------------------------------------

    def presign_put(self, path: str, *, size_bytes: int, sha256: str, ttl_s: int) -> str:
        """See `ObjectStore.presign_put`."""
        if size_bytes < 0 or not SHA256_HEX.fullmatch(sha256):
            raise ValueError(f"size_bytes={size_bytes}, sha256={sha256!r}: a PUT is bound to a size and 64 hex digits")
        return self._url(Grant("PUT", check_path(path), size_bytes, sha256), ttl_s)

    def presign_get(self, path: str, *, ttl_s: int) -> str:
        """See `ObjectStore.presign_get`."""
        return self._url(Grant("GET", check_path(path)), ttl_s)

    async def head(self, path: str) -> ObjectInfo | None:
        """See `ObjectStore.head`."""
        stored = await self.find(path)
        return stored.info if stored else None

    async def open_read(self, path: str) -> AsyncIterator[bytes]:
        """See `ObjectStore.open_read`."""
        stored = await self.find(path)
        if stored is None:
            raise not_found(path)
        try:
            async for piece in self.read(stored, 0, stored.info.size_bytes):
                yield piece
        except FileNotFoundError:
            raise not_found(path) from None

    async def fetch(self, path: str, to: Path) -> ObjectInfo:
        """See `ObjectStore.fetch`."""
        stored = await self.find(path)
        if stored is None:
            raise not_found(path)
        try:
            await self.run(files.copy, stored.file, to)
        except FileNotFoundError:
            raise not_found(path) from None
        return stored.info

    async def delete(self, path: str) -> None:
        """See `ObjectStore.delete`."""
        await self.run(files.delete, self.root, check_path(path))

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        """See `ObjectStore.list`."""
        return await self.run(files.list_below, self.root, check_path(prefix) if prefix else "")

    # -- for disk_http ---------------------------------------------------------------------------------------------

    async def find(self, path: str) -> Stored | None:
        """The object and its file, or None."""
        return await self.run(files.find, self.root, check_path(path))

    async def start_upload(self, path: str, size_bytes: int) -> Upload:
        """A new upload; the caller commits or aborts it. A caller that is cancelled meanwhile leaves no file behind.

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
            FileNotFoundError: the object was deleted meanwhile.
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

    # -- blocking --------------------------------------------------------------------------------------------------

    def _url(self, grant: Grant, ttl_s: int) -> str:
        return f"{self._base_url}/objects/{grant.path}?{self.signer.query(grant, ttl_s)}"
