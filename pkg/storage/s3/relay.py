"""Downloads through the api, without the ETag that S3 sends: GET on /objects/<path> with a signed query.

For builders with a BuildKit below 0.18, which takes the content of one context for that of another once it has seen an
ETag of it (docs/adr/0008).
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

from aiohttp import web

from pkg.errors import SealiftError
from pkg.storage.s3.calls import Calls
from pkg.storage.s3.failures import S3_CODE
from pkg.storage.signer import UrlSigner

IDLE_TIMEOUT_S = 60  # a client that reads nothing for so long is gone


def routes(calls: Calls, signer: UrlSigner) -> Sequence[web.RouteDef]:
    """Serves the objects under /objects/. Signed URLs carry their own proof: no other key is asked for."""

    async def get(request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        try:
            signer.check(request.method, path, request.query)
            asked = {"Range": request.headers["Range"]} if "Range" in request.headers else {}
            async with calls.download(path, **asked) as (answer, pieces):
                response = web.StreamResponse(status=_status(answer), headers=_headers(answer))
                response.content_length = answer["ContentLength"]
                await response.prepare(request)
                async for piece in pieces:
                    async with asyncio.timeout(IDLE_TIMEOUT_S):
                        await response.write(piece)
                await response.write_eof()
                return response
        except SealiftError as error:
            if request.writer is not None and request.writer.output_size:
                raise  # in the middle of the body: the connection is closed, so that nobody takes it for all
            return _refusal(error)

    return (web.get("/objects/{path:.+}", get, allow_head=False),)


def _refusal(error: SealiftError) -> web.Response:
    is_range = error.metadata.get(S3_CODE) == "InvalidRange"
    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE if is_range else error.http_status
    return web.Response(status=status, text=f"{error}\n", headers={"Cache-Control": "no-store"})


def _status(answer: dict[str, Any]) -> int:
    return HTTPStatus.PARTIAL_CONTENT if "ContentRange" in answer else HTTPStatus.OK


def _headers(answer: dict[str, Any]) -> dict[str, str]:
    headers = {
        "Last-Modified": format_datetime(answer["LastModified"].astimezone(UTC), usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "Cache-Control": "private",
    }
    return headers | ({"Content-Range": answer["ContentRange"]} if "ContentRange" in answer else {})
