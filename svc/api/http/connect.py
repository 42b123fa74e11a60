"""The Connect adapter: every RPC as JSON, by the Connect protocol's paths and errors: POST /package.Service/Method.

The pipeline and the servicers are those of gRPC. Streams answer NDJSON: one message per line, an error as a last line
{"error": …}. Names are camelCase and 64-bit numbers strings, as protobuf's JSON mapping has them; unknown fields are
refused by name.
"""

import asyncio
import base64
import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any, cast

from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from pkg.errors import FailedPrecondition, InvalidArgument, SealiftError
from svc.api.rpc import Failure, RpcPipeline, Service
from svc.api.rpc.methods import Method
from svc.api.rpc.pipeline import REQUEST_ID, request_id_of

RPC_PREFIX = "/sealift."
MAX_BODY_BYTES = 4 << 20  # the same as gRPC's default; uploads are streamed and have their own bound
BODY_TIMEOUT_S = 30.0
BODY_IDLE_S = 10.0  # of a body of which nothing arrives
READ_TIMEOUT_S = 60.0
REST_MAX_BYTES = 64 << 10
REST_TIMEOUT_S = 1.0
# In what protobuf and Python say of a value that is no number or no name of the enum.
_REPEATED_VALUE = re.compile(
    r"(?<=Invalid enum value ).*(?= for enum type )|(?<=with base 10: ).*|(?<=parse integer: ).*"
    r"|(?<=non-integer string: ).*|(?<=parse float: ).*",
    re.DOTALL,
)
_DETAILS = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RequestInfo)


def add_routes(app: web.Application, services: Iterable[Service], pipeline: RpcPipeline) -> None:
    """A route per method."""
    for service in services:
        for method in service.methods.values():
            handle = _unary(method, pipeline) if method.unary else _stream(method, pipeline)
            app.router.add_post(method.path, _grpc_only(method, pipeline) if method.bidi else handle)


def _unary(method: Method, pipeline: RpcPipeline) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        assert method.unary is not None
        metadata = _metadata(request)
        try:
            receive = partial(_message, request, method)
            async with pipeline.enter(method, metadata, receive, transport="http", peer=peer_of(request)) as (
                call,
                message,
            ):
                answer = await method.unary(message, call)
        except Failure as failure:
            return await _refusal(request, failure, metadata)
        return web.Response(text=_json(answer), content_type="application/json", headers=_headers(metadata))

    return handle


def _stream(method: Method, pipeline: RpcPipeline) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        assert method.stream is not None
        metadata = _metadata(request)
        out: web.StreamResponse | None = None
        try:
            receive = partial(_message, request, method)
            async with (
                pipeline.enter(method, metadata, receive, transport="http", peer=peer_of(request)) as (
                    call,
                    message,
                ),
                aclosing(cast("Any", method.stream(message, call))) as answers,
            ):
                async for answer in answers:
                    if out is None:  # the head goes with the first message: an error before it has its own status
                        out = await _begin(request, metadata)
                    async with asyncio.timeout(READ_TIMEOUT_S):  # of a reader that takes nothing
                        await out.write(_json(answer).encode() + b"\n")
        except Failure as failure:
            if out is None:
                return await _refusal(request, failure, metadata)
            await out.write(json.dumps({"error": _error(failure)}).encode() + b"\n")
        out = out or await _begin(request, metadata)
        await out.write_eof()
        return out

    return handle


def _grpc_only(method: Method, pipeline: RpcPipeline) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        metadata = _metadata(request)
        try:
            receive = partial(_message, request, method)
            async with pipeline.enter(method, metadata, receive, transport="http", peer=peer_of(request)):
                text = "takes a stream of requests, which HTTP with JSON does not have: call it by gRPC."
                raise FailedPrecondition("server.grpc_only", f"{method.path} {text}")
        except Failure as failure:
            return await _refusal(request, failure, metadata)

    return handle


def refusal(request: web.Request, error: SealiftError) -> web.Response:
    """The answer to a call that is not begun."""
    metadata = _metadata(request)
    return _refused(Failure(error, metadata[REQUEST_ID]), metadata)


async def _refusal(request: web.Request, failure: Failure, metadata: dict[str, str]) -> web.Response:
    """The answer to a call that failed, once the rest of a small request has arrived, unread.

    A proxy that gets the answer first ends the stream of HTTP/2 with a reset, and some clients then lose the answer.
    """
    with contextlib.suppress(TimeoutError, web.HTTPException, OSError, web.RequestPayloadError):
        async with asyncio.timeout(REST_TIMEOUT_S):
            left = REST_MAX_BYTES
            while left > 0 and not request.content.at_eof():
                left -= len(await request.content.readany())
    return _refused(failure, metadata)


def _refused(failure: Failure, metadata: dict[str, str]) -> web.Response:
    return web.json_response(_error(failure), status=failure.error.http_status, headers=_headers(metadata))


async def _begin(request: web.Request, metadata: dict[str, str]) -> web.StreamResponse:
    out = web.StreamResponse(headers={**_headers(metadata), "Content-Type": "application/x-ndjson"})
    await out.prepare(request)
    return out


async def _message(request: web.Request, method: Method) -> Message:
    """The request. Raises InvalidArgument when it is none."""
    # an HTML form can't send this type: no page of another site calls us with a user's browser
    if request.content_type != "application/json":
        raise InvalidArgument("body", "send JSON with content-type: application/json")
    message = method.request()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await _body(request)
        json_format.Parse(body or b"{}", message)
    except web.RequestPayloadError:
        raise InvalidArgument("body", "does not match its Content-Encoding: send it without one") from None
    except TimeoutError:
        raise InvalidArgument("body", f"did not arrive within {BODY_TIMEOUT_S:.0f} s") from None
    except (json_format.ParseError, ValueError, RecursionError) as error:
        # ValueError: not UTF-8, and numbers of more digits than Python reads
        raise InvalidArgument("body", f"is not a {message.DESCRIPTOR.name} in JSON: {_error_text(error)}") from error
    return message


async def _body(request: web.Request) -> bytes:
    body = bytearray()
    while True:
        try:
            async with asyncio.timeout(BODY_IDLE_S):
                data = await request.content.readany()
        except TimeoutError:
            raise InvalidArgument("body", f"stopped: nothing of it arrived for {BODY_IDLE_S:.0f} s") from None
        if not data:
            return bytes(body)
        body += data
        if len(body) > MAX_BODY_BYTES:
            raise InvalidArgument("body", f"is larger than {MAX_BODY_BYTES >> 20} MiB")


def _error_text(error: Exception) -> str:
    """What is wrong, and where, without the value that protobuf repeats: it may be a secret in the wrong place."""
    text, is_repeated, rest = str(error).partition(" which is ")
    if is_repeated:
        return f"{text} (at {rest.rpartition(' at ')[2].rstrip('.')})"
    return _REPEATED_VALUE.sub("…", text)


def _metadata(request: web.Request) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        found.setdefault(name.lower(), value)
    return found | {REQUEST_ID: request_id_of(found)}


def peer_of(request: web.Request) -> str:
    """The IP address at the other end of the connection; "" if it has none."""
    name = request.transport.get_extra_info("peername") if request.transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else ""


def _headers(metadata: dict[str, str]) -> dict[str, str]:
    return {REQUEST_ID: metadata[REQUEST_ID], "Cache-Control": "no-store"}


def _json(message: Message) -> str:
    return json_format.MessageToJson(message, indent=None)


def _error(failure: Failure) -> dict[str, Any]:
    """Connect's error shape; details carry their JSON form, too."""
    details = []
    for packed in failure.status.details:
        for kind in _DETAILS:
            if packed.Is(kind.DESCRIPTOR):
                detail = kind()
                packed.Unpack(detail)
                details.append(
                    {
                        "type": kind.DESCRIPTOR.full_name,
                        "value": base64.b64encode(packed.value).decode().rstrip("="),
                        "debug": json_format.MessageToDict(detail),
                    }
                )
    return {"code": failure.error.grpc_status.lower(), "message": failure.status.message, "details": details}
