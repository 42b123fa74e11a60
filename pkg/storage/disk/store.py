"""The Disk adapter: objects as files of one directory, reached from outside by signed URLs that `http` serves."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from aiohttp import web

from pkg.lifecycle.threads import whole
from pkg.storage.disk import files, http
from pkg.storage.disk.async_files import AsyncFiles
from pkg.storage.errors import check_content, not_found
from pkg.storage.port import SHA256_HEX, Capabilities, ObjectInfo, PresignedPut, check_path
from pkg.storage.signer import Grant, UrlSigner


class DiskStore:
    """`port.ObjectStore` on a directory. Several processes may share the directory and the signing key.

    Args:
        root: made (0700) when missing.
        signer: of the URLs.
        base_url: where `routes` are served, without a trailing slash, e.g. "http://127.0.0.1:7401".
    """

    def __init__(self, root: Path, signer: UrlSigner, base_url: str) -> None:
        self.files = AsyncFiles(root)
        self.signer = signer
        self._base_url = base_url.rstrip("/")

    def routes(self) -> Sequence[web.RouteDef]:
        """See `ObjectStore.routes`."""
        return http.routes(self.files, self.signer)

    capabilities = Capabilities(binds_uploads=True, checks_sha256=True)

    async def prepare(self) -> None:
        """See `ObjectStore.prepare`. The folder was made when the store was opened."""

    async def check(self) -> None:
        """See `ObjectStore.check`."""
        await self.files.run(files.check, self.files.root)

    async def close(self) -> None:
        """See `ObjectStore.close`."""
        await self.files.close()

    def presign_put(
        self, path: str, *, size_bytes: int, sha256: str, ttl_s: int, sends_headers: bool = False
    ) -> PresignedPut:
        """See `ObjectStore.presign_put`. The URL alone binds the content."""
        del sends_headers
        if size_bytes < 0 or not SHA256_HEX.fullmatch(sha256):
            raise ValueError(f"size_bytes={size_bytes}, sha256={sha256!r}: a PUT is bound to a size and 64 hex digits")
        served_path = self._served_path(Grant("PUT", check_path(path), size_bytes, sha256), ttl_s)
        return PresignedPut(f"{self._base_url}{served_path}", served_path=served_path)

    def presign_get(self, path: str, *, ttl_s: int, with_etag: bool = True) -> str:
        """See `ObjectStore.presign_get`. There is one endpoint, the api's, and it sends no ETag."""
        del with_etag
        return f"{self._base_url}{self._served_path(Grant('GET', check_path(path)), ttl_s)}"

    async def put(self, path: str, pieces: AsyncIterator[bytes], *, size_bytes: int, sha256: str) -> ObjectInfo:
        """See `ObjectStore.put`."""
        upload = await self.files.start_upload(path, size_bytes)
        try:
            async for piece in pieces:
                await whole(self.files.run(upload.write, piece))
            check_content(upload.written, upload.sha256(), size_bytes=size_bytes, sha256=sha256)
            await whole(self.files.run(upload.commit))
        finally:
            await whole(self.files.run(upload.abort))
        stored = await self.files.find(path)
        if stored is None:
            raise not_found(path)
        return stored.info

    async def head(self, path: str) -> ObjectInfo | None:
        """See `ObjectStore.head`."""
        stored = await self.files.find(path)
        return stored.info if stored else None

    async def open_read(self, path: str) -> AsyncIterator[bytes]:
        """See `ObjectStore.open_read`."""
        stored = await self.files.find(path)
        if stored is None:
            raise not_found(path)
        try:
            async for piece in self.files.read(stored, 0, stored.info.size_bytes):
                yield piece
        except FileNotFoundError:
            raise not_found(path) from None

    async def fetch(self, path: str, to: Path) -> ObjectInfo:
        """See `ObjectStore.fetch`."""
        stored = await self.files.find(path)
        if stored is None:
            raise not_found(path)
        try:
            await self.files.run(files.copy, stored.file, to)
        except FileNotFoundError:
            raise not_found(path) from None
        return stored.info

    async def delete(self, path: str) -> None:
        """See `ObjectStore.delete`."""
        await self.files.run(files.delete, self.files.root, check_path(path))

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        """See `ObjectStore.list`."""
        return await self.files.run(files.list_below, self.files.root, check_path(prefix) if prefix else "")

    def _served_path(self, grant: Grant, ttl_s: int) -> str:
        return f"/objects/{grant.path}?{self.signer.query(grant, ttl_s)}"
