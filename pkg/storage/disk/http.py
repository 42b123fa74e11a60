"""The Disk store over plain HTTP: PUT, GET and HEAD on /objects/<path> with a signed query.

Made for what clients of presigned URLs do: `curl -T`, http.client, and BuildKit, whose cache of a build context is
keyed by its content and its Last-Modified (stable here).

Answers to GET and HEAD carry no ETag on purpose. BuildKit below 0.18 remembers ETags by file name alone, and every
context's name is "context": it would send all it knows in If-None-Match, to any server that a Dockerfile names, and
take a 304 for any of them, which hands one build the context of another. The header also grows with every build, until
servers refuse it. A client cannot send an ETag it never received; the price is that a context is fetched again.
"""

import asyncio
import re
from collections.abc import Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus

from aiohttp import web

from pkg.errors import FailedPrecondition, InvalidArgument, SealiftError
from pkg.lifecycle.threads import whole
from pkg.storage.disk.async_files import AsyncFiles
from pkg.storage.disk.files import Stored, Upload
from pkg.storage.errors import not_found
from pkg.storage.signer import Grant, UrlSigner

# Each hand-over between the event loop and a thread costs up to one interpreter switch (5 ms): few, larger pieces.
PIECE_BYTES = 4 << 20
IDLE_TIMEOUT_S = 30  # a client that sends or takes nothing for so long is gone
# On average at each moment of an upload after its first minute: who trickles a byte at a time would hold a connection
# and a temporary file for years.
MIN_BYTES_PER_S = 32 * 1024
GRACE_S = 60
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def routes(files: AsyncFiles, signer: UrlSigner) -> Sequence[web.RouteDef]:
    """Serves the files under /objects/. Signed URLs carry their own proof: no other authentication comes before it."""
    handlers = _Handlers(files, signer)
    return (
        web.put("/objects/{path:.+}", handlers.put, expect_handler=handlers.expect),
        web.get("/objects/{path:.+}", handlers.get),  # answers HEAD, too
    )


def _refusal(error: SealiftError) -> web.Response:
    status = HTTPStatus.INSUFFICIENT_STORAGE if error.code == "object.disk_full" else error.http_status
    response = web.Response(status=status, text=f"{error}\n")
    response.headers["Cache-Control"] = "no-store"
    return response


class _Handlers:
    def __init__(self, files: AsyncFiles, signer: UrlSigner) -> None:
        self._files = files
        self._signer = signer

    def _grant(self, request: web.Request) -> Grant:
        return self._signer.check(request.method, request.match_info["path"], request.query)

    async def expect(self, request: web.Request) -> web.StreamResponse | None:
        """Refuses before the body travels, when the client asks first (Expect: 100-continue)."""
        try:
            _check_length(request, self._grant(request))
        except SealiftError as e:
            return _refusal(e)
        if request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return None

    async def put(self, request: web.Request) -> web.StreamResponse:
        """Streams the body to disk; the object appears only when size and sha256 are those of the URL."""
        upload: Upload | None = None
        try:
            grant = self._grant(request)
            _check_length(request, grant)
            upload = await self._files.start_upload(grant.path, grant.size_bytes)
            await self._receive(request, upload, grant)
            if upload.sha256() != grant.sha256:
                raise InvalidArgument(
                    "sha256",
                    f"the body's is {upload.sha256()} and the URL is for {grant.sha256}: the file changed while it was"
                    " sent, or was damaged on the way. Upload it again",
                    code="object.sha256_mismatch",
                )
            await whole(self._files.run(upload.commit))
        except SealiftError as e:
            return _refusal(e)
        except web.RequestPayloadError:
            return _refusal(InvalidArgument("body", "is damaged: send the file as it is, without Content-Encoding"))
        except TimeoutError:
            return web.Response(
                status=HTTPStatus.REQUEST_TIMEOUT, text=f"no data for {IDLE_TIMEOUT_S} s: upload again\n"
            )
        finally:
            if upload is not None:
                await whole(self._files.run(upload.abort))
        return web.Response(headers={"ETag": f'"{grant.sha256}"'})

    async def _receive(self, request: web.Request, upload: Upload, grant: Grant) -> None:
        # one piece is hashed and written in a thread while the next one is received
        writing: asyncio.Task[None] | None = None
        buffer = bytearray()
        received = 0
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            while True:
                must_go_on_at = began + GRACE_S + received / MIN_BYTES_PER_S
                try:
                    async with asyncio.timeout_at(min(must_go_on_at, clock() + IDLE_TIMEOUT_S)):
                        data = await request.content.readany()
                except TimeoutError:
                    if clock() < must_go_on_at:
                        raise
                    raise _too_slow(received, clock() - began) from None
                received += len(data)
                if received > grant.size_bytes:
                    raise _wrong_size(grant, f"more than {grant.size_bytes}")
                buffer += data
                if len(buffer) >= PIECE_BYTES or not data:
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(self._files.run(upload.write, buffer))
                    buffer = bytearray()
                    if not data:
                        break
            await writing
            if received != grant.size_bytes:
                raise _wrong_size(grant, str(received))
        finally:
            if writing is not None:
                with suppress(SealiftError, OSError):
                    await whole(writing)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """The object, or one range of it."""
        try:
            grant = self._grant(request)
            stored = await self._files.find(grant.path)
            if stored is None:
                raise not_found(grant.path)
        except SealiftError as e:
            return _refusal(e)
        headers = _headers(stored)
        size = stored.info.size_bytes
        try:
            start, length = _range(request, headers["Last-Modified"], size)
        except ValueError:
            return web.Response(
                status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers={"Content-Range": f"bytes */{size}"}
            )
        response = web.StreamResponse(headers=headers)
        response.content_length = length
        if length != size:
            response.set_status(HTTPStatus.PARTIAL_CONTENT)
            response.headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        async with aclosing(self._files.read(stored, start, length)) as pieces:
            try:
                first = await anext(pieces, b"")
            except FileNotFoundError:
                return _refusal(not_found(grant.path))
            await response.prepare(request)
            await response.write(first)
            async for piece in pieces:
                async with asyncio.timeout(IDLE_TIMEOUT_S):
                    await response.write(piece)
            await response.write_eof()
        return response


def _too_slow(received: int, took_s: float) -> FailedPrecondition:
    return FailedPrecondition(
        "object.upload_too_slow",
        f"{received} bytes arrived within {took_s:.0f} s; an upload of more than {GRACE_S} s has to bring "
        f"{MIN_BYTES_PER_S // 1024} KiB a second: upload it over a faster connection",
    )


def _wrong_size(grant: Grant, got: str) -> InvalidArgument:
    return InvalidArgument(
        "size_bytes", f"the body has {got} bytes and the URL is for {grant.size_bytes}", code="object.size_mismatch"
    )


def _check_length(request: web.Request, grant: Grant) -> None:
    if request.content_length is not None and request.content_length != grant.size_bytes:
        raise _wrong_size(grant, str(request.content_length))


def _headers(stored: Stored) -> dict[str, str]:
    modified = datetime.fromtimestamp(stored.info.modified_at // 1000, UTC)
    return {
        "Last-Modified": format_datetime(modified, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "Cache-Control": "private",
    }


def _range(request: web.Request, modified: str, size: int) -> tuple[int, int]:
    """Start and length. ValueError: not satisfiable. Several ranges, or another form: the whole object."""
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or request.headers.get("If-Range", modified) != modified or match[0] == "bytes=-":
        return 0, size
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last) if last else size - 1, size - 1)
    if start > end:
        raise ValueError(request.headers["Range"])
    return start, end - start + 1
