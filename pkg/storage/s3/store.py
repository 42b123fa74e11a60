"""The S3 adapter: objects in one bucket, each call of boto3 in a thread of the store's own."""

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from aiohttp import web

from pkg.errors import FailedPrecondition, NotFound, ResourceExhausted, Unavailable
from pkg.lifecycle.threads import close_in_thread, whole
from pkg.storage.errors import check_content
from pkg.storage.port import SHA256_HEX, Capabilities, ObjectInfo, PresignedPut, check_path
from pkg.storage.s3 import relay
from pkg.storage.s3.calls import CALL_TIMEOUT_S, Calls
from pkg.storage.s3.client import RegionOfRequests, make_client
from pkg.storage.s3.failures import S3_CODE, UNREADABLE, UnreadableAnswerError, explain
from pkg.storage.s3.settings import S3Settings
from pkg.storage.signer import Grant, UrlSigner

PREPARE_TIMEOUT_S = 10.0
CHECK_READ_TIMEOUT_S = 2.0
MAX_PAGES = 10_000  # of a listing, of 1,000 objects each
MIN_BYTES_PER_S = 32 << 10
PUTS_AT_ONCE = 2  # each has its content in a temporary file
_SHA256 = "sha256"  # metadata of what `put` has verified; a presigned PUT can't write it
_CHECKSUM_HEADER = "x-amz-checksum-sha256"
_FIRST_REGION = "us-east-1"  # the one that a bucket is in unless its creation names another


class S3Store:
    """`port.ObjectStore` on a bucket."""

    def __init__(self, config: S3Settings, api_url: str) -> None:
        """Makes no request.

        Args:
            config: the section.
            api_url: where `routes` are served; "" if nobody needs them.
        """
        self._config = config
        self._calls = Calls(config)
        self._use_region(config.region)
        key = hmac.digest(config.access_key_secret.reveal().encode(), b"sealift relayed object url 1", "sha256")
        self._relay_signer = UrlSigner(key)
        self._api_url = api_url.rstrip("/")
        self._checks_sha256 = False
        self._puts = asyncio.Semaphore(PUTS_AT_ONCE)
        self._checking: asyncio.Task[None] | None = None

    def _use_region(self, region: str) -> None:
        config, self._region = self._config, region
        self._calls.client = make_client(config, config.url, region)
        self._quick = make_client(config, config.url, region, attempts=1, read_timeout_s=CHECK_READ_TIMEOUT_S)
        external_url = config.external_url
        self._external = make_client(config, external_url, region) if external_url else self._calls.client

    @property
    def capabilities(self) -> Capabilities:
        """See `ObjectStore.capabilities`."""
        return Capabilities(binds_uploads=False, checks_sha256=self._checks_sha256)

    def routes(self) -> Sequence[web.RouteDef]:
        """See `ObjectStore.routes`: downloads without an ETag."""
        return relay.routes(self._calls, self._relay_signer)

    async def prepare(self) -> None:
        """See `ObjectStore.prepare`: the region, the bucket, and whether the server checks the sha256 of uploads."""
        try:
            async with asyncio.timeout(PREPARE_TIMEOUT_S):
                requests = RegionOfRequests(self._calls.client)
                has_bucket = await self._has_bucket()
                self._learn_region(requests.region)
                if not has_bucket:
                    await self._make_bucket()
                self._checks_sha256 = await self._finds_wrong_sha256()
        except TimeoutError:
            raise Unavailable(
                "object.unavailable",
                f"the S3 server at {self._config.url} did not answer within {PREPARE_TIMEOUT_S:.0f} s: is it running,"
                " and [objects] url right?",
            ) from None

    def _learn_region(self, region: str) -> None:
        config = self._config
        if region in ("", config.region):
            return
        if wrong := config.region_problem(region):
            raise Unavailable("object.unavailable", f"[objects] {wrong}")
        if config.region != "auto":
            raise Unavailable(
                "object.unavailable",
                f"the S3 server at {config.url} is in region {region!r}, not {config.region!r}: set [objects] region ="
                f' "{region}", or "auto"',
            )
        self._use_region(region)

    async def _has_bucket(self) -> bool:
        try:
            listed = await self._calls.call("list_objects_v2", MaxKeys=1)
        except Unavailable as error:
            if error.metadata.get(S3_CODE) != "NoSuchBucket":
                raise
            return False
        if "IsTruncated" not in listed:  # any web server answers with 200
            raise explain(UnreadableAnswerError(), self._config, "")
        return True

    async def _make_bucket(self) -> None:
        place: dict[str, Any] = {}
        if self._region not in ("auto", _FIRST_REGION):
            place = {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        try:
            await self._calls.call("create_bucket", **place)
        except Unavailable:
            # api and worker may both make it
            if not await self._has_bucket():
                raise

    async def _finds_wrong_sha256(self) -> bool:
        """Whether it refuses an object whose sha256 is not the announced one. Many servers don't look."""
        path = f"checks/{secrets.token_hex(8)}"
        wrong = base64.b64encode(bytes(32)).decode()
        try:
            await self._calls.call("put_object", path, Body=b"sealift", ChecksumSHA256=wrong)
        except Unavailable as error:
            # what else it refuses would come again with the first upload, and is told there
            return error.metadata.get(S3_CODE) in ("BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch")
        await self._calls.call("delete_object", path)
        return False

    async def check(self) -> None:
        """See `ObjectStore.check`. Callers at the same time share one request."""
        if self._checking is None or self._checking.done():
            request = self._calls.call("list_objects_v2", client=self._quick, MaxKeys=1)
            self._checking = asyncio.create_task(_discard(request), name="s3-check")
            # told to those who wait; nobody may, when all have given up
            self._checking.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._checking)

    async def close(self) -> None:
        """See `ObjectStore.close`."""
        await self._calls.close()
        await close_in_thread(self._quick.close)

    def presign_put(
        self, path: str, *, size_bytes: int, sha256: str, ttl_s: int, sends_headers: bool = False
    ) -> PresignedPut:
        """See `ObjectStore.presign_put`. The URL binds the size by Content-Length."""
        if size_bytes < 0 or not SHA256_HEX.fullmatch(sha256):
            raise ValueError(f"size_bytes={size_bytes}, sha256={sha256!r}: a PUT is bound to a size and 64 hex digits")
        given: dict[str, Any] = {"Key": check_path(path), "ContentLength": size_bytes}
        headers = {}
        if sends_headers and self._checks_sha256:
            given["ChecksumSHA256"] = headers[_CHECKSUM_HEADER] = base64.b64encode(bytes.fromhex(sha256)).decode()
        return PresignedPut(self._presigned(self._external, "put_object", ttl_s, given), headers)

    def presign_get(self, path: str, *, ttl_s: int, with_etag: bool = True) -> str:
        """See `ObjectStore.presign_get`."""
        check_path(path)
        if with_etag:
            return self._presigned(self._calls.client, "get_object", ttl_s, {"Key": path})
        if not self._api_url:
            raise FailedPrecondition(
                "object.etag_unavoidable",
                "this builder must not see the ETags that S3 sends: set [objects] api_url of the worker to the URL of"
                " the api's HTTP port, or build with BuildKit 0.18 or newer",
            )
        return f"{self._api_url}/objects/{path}?{self._relay_signer.query(Grant('GET', path), ttl_s)}"

    def _presigned(self, client: Any, operation: str, ttl_s: int, given: dict[str, Any]) -> str:
        parameters = {"Bucket": self._config.bucket, **given}
        return str(client.generate_presigned_url(operation, Params=parameters, ExpiresIn=ttl_s))

    async def put(self, path: str, pieces: AsyncIterator[bytes], *, size_bytes: int, sha256: str) -> ObjectInfo:
        """See `ObjectStore.put`. The content waits in an unnamed temporary file until its hash is known."""
        known = await self._head(path)
        if known is not None and known["Metadata"].get(_SHA256) == sha256 and known["ContentLength"] == size_bytes:
            return self._info(path, known)
        async with self._puts:
            return await self._put(path, pieces, size_bytes, sha256)

    async def _put(self, path: str, pieces: AsyncIterator[bytes], size_bytes: int, sha256: str) -> ObjectInfo:
        with tempfile.TemporaryFile(buffering=0) as file:
            digest, written = hashlib.sha256(), 0
            async for piece in pieces:
                written += len(piece)
                if written > size_bytes:
                    break
                digest.update(piece)
                await whole(self._calls.run(path, partial(_write, file, piece)))
            check_content(written, digest.hexdigest(), size_bytes=size_bytes, sha256=sha256)
            file.seek(0)
            sending = self._calls.call(
                "put_object", path, Body=file, ContentLength=size_bytes, ContentType="application/octet-stream",
                Metadata={_SHA256: sha256}, timeout_s=CALL_TIMEOUT_S + size_bytes / MIN_BYTES_PER_S,
            )  # fmt: skip
            await whole(sending)
        stored = await self.head(path)
        if stored is None:
            raise Unavailable("object.unavailable", f"the S3 server at {self._config.url} lost {path} once it had it")
        return stored

    async def head(self, path: str) -> ObjectInfo | None:
        """See `ObjectStore.head`."""
        answer = await self._head(path)
        return None if answer is None else self._info(path, answer)

    async def _head(self, path: str) -> dict[str, Any] | None:
        try:
            answer = await self._calls.call("head_object", check_path(path))
        except NotFound:
            return None
        return {"Metadata": {}, **answer}

    async def open_read(self, path: str) -> AsyncIterator[bytes]:
        """See `ObjectStore.open_read`."""
        async with self._calls.download(check_path(path)) as (_, pieces):
            async for piece in pieces:
                yield piece

    async def fetch(self, path: str, to: Path) -> ObjectInfo:
        """See `ObjectStore.fetch`."""
        async with self._calls.download(check_path(path)) as (answer, pieces):
            file = os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb", 0)
            try:
                with file:
                    async for piece in pieces:
                        await whole(self._calls.run(path, partial(_write, file, piece)))
            except BaseException:
                to.unlink(missing_ok=True)
                raise
        return self._info(path, answer)

    async def delete(self, path: str) -> None:
        """See `ObjectStore.delete`."""
        with suppress(NotFound):
            await self._calls.call("delete_object", check_path(path))

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        """See `ObjectStore.list`."""
        found: list[ObjectInfo] = []
        given: dict[str, Any] = {"Prefix": f"{check_path(prefix)}/" if prefix else ""}
        for _ in range(MAX_PAGES):
            page = await self._calls.call("list_objects_v2", **given)
            try:
                found += [
                    ObjectInfo(one["Key"], one["Size"], None, _etag(one), _ms(one["LastModified"]))
                    for one in page.get("Contents", ())
                    if one["Key"].startswith(given["Prefix"])
                ]
                if not page.get("IsTruncated"):
                    return sorted(found, key=lambda info: info.path)
                before, following = given.get("ContinuationToken"), page["NextContinuationToken"]
            except UNREADABLE:
                break
            if following == before:
                break
            given["ContinuationToken"] = following
        raise explain(UnreadableAnswerError(), self._config, "")

    def _info(self, path: str, answer: dict[str, Any]) -> ObjectInfo:
        try:
            return ObjectInfo(path, answer["ContentLength"], None, _etag(answer), _ms(answer["LastModified"]))
        except UNREADABLE as error:
            raise explain(UnreadableAnswerError(), self._config, path) from error


async def _discard(work: Any) -> None:
    await work


def _write(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        raise ResourceExhausted(
            "object.disk_full",
            f"an object can't be kept in a file on its way to the S3 server ({error.strerror}): free space in"
            f" {tempfile.gettempdir()}, or name another folder in TMPDIR",
        ) from error


def _etag(answer: dict[str, Any]) -> str:
    return str(answer.get("ETag", "")).strip('"')


def _ms(moment: Any) -> int:
    return int(moment.timestamp()) * 1000
