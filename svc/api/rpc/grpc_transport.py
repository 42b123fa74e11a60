"""gRPC requests into the pipeline, its answers and failures out as gRPC.

Every method is registered as one that takes a stream of requests, although most take a single one: of others, grpc
hands over the call only once the request is there. So the caller is known, counted and authorised before any of its
bytes are waited for, and one that sends none is not waited for longer than `MESSAGE_TIMEOUT_S`.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError, Message
from grpc import aio

from pkg.errors import InvalidArgument
from svc.api.rpc.call import Call
from svc.api.rpc.clients import grpc_peer
from svc.api.rpc.failure import STATUS_DETAILS_KEY, Failure
from svc.api.rpc.methods import Method, Service
from svc.api.rpc.pipeline import REQUEST_ID, RpcPipeline, request_id_of

# grpcio's own services, which need no key: health for probes, and reflection, which is served on loopback only
OPEN_SERVICES = frozenset({"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"})

# From the begin of a call, once it is authorised, to the end of its request.
MESSAGE_TIMEOUT_S = 20.0

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class DenyByDefault(aio.ServerInterceptor):  # type: ignore[misc]  # grpcio says nothing of its types
    """Lets through only methods that the pipeline guards, and the open services of grpc itself.

    Whatever else is registered with the server by mistake is denied.
    """

    def __init__(self, services: Iterable[Service]) -> None:
        self._guarded = {method.path for service in services for method in service.methods.values()}

    async def intercept_service(self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler, or one that refuses."""
        method = handler_call_details.method
        if method in self._guarded or method.removeprefix("/").partition("/")[0] in OPEN_SERVICES:
            return await continuation(handler_call_details)
        return grpc.stream_unary_rpc_method_handler(_unknown)


async def _unknown(_requests: object, context: aio.ServicerContext[Any, Any]) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this server has no such method")


def register(server: aio.Server, services: Iterable[Service], pipeline: RpcPipeline) -> None:
    """Adds the services to the server, each method through the pipeline."""
    for service in services:
        handlers = {name: _handler(method, pipeline) for name, method in service.methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.name, handlers),))


def _handler(method: Method, pipeline: RpcPipeline) -> Any:
    async def unary(_requests: object, context: aio.ServicerContext[Any, Any]) -> Any:
        assert method.unary is not None
        metadata = _metadata(context)
        try:
            receive = partial(_receive, method, context)
            peer = grpc_peer(context.peer())
            async with pipeline.enter(method, metadata, receive, transport="grpc", peer=peer) as (call, request):
                answer = await method.unary(request, call)
                context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
                return answer
        except Failure as failure:
            await _abort(context, failure, metadata)

    async def stream(_requests: object, context: aio.ServicerContext[Any, Any]) -> None:
        # a coroutine that writes, not a generator: a cancel then always ends inside this very task
        metadata, receive, peer = _metadata(context), partial(_receive, method, context), grpc_peer(context.peer())
        try:
            async with (
                pipeline.enter(method, metadata, receive, transport="grpc", peer=peer) as (call, request),
                aclosing(cast("Any", _answers(method, request, context, call))) as answers,
            ):
                await context.send_initial_metadata(((REQUEST_ID, call.request_id),))
                async for answer in answers:
                    await context.write(answer)
        except Failure as failure:
            await _abort(context, failure, metadata)

    def encode(answer: Any) -> bytes:
        return cast("bytes", answer.SerializeToString())

    if method.unary is not None:
        return grpc.stream_unary_rpc_method_handler(unary, response_serializer=encode)
    return grpc.stream_stream_rpc_method_handler(stream, response_serializer=encode)


def _answers(method: Method, request: Message, context: aio.ServicerContext[Any, Any], call: Call) -> object:
    if method.bidi is not None:
        return method.bidi(request, _following(method, context), call)
    assert method.stream is not None
    return method.stream(request, call)


async def _following(method: Method, context: aio.ServicerContext[Any, Any]) -> AsyncGenerator[Message]:
    """The requests after the first one. Each is read when it is asked for, so that a slow reader slows the client."""
    while (body := await context.read()) is not aio.EOF:
        yield _parsed(method, body)


async def _receive(method: Method, context: aio.ServicerContext[Any, Any]) -> Message:
    """The request. grpc's own deserializer would answer UNKNOWN, before any key is looked at, with a traceback."""
    try:
        async with asyncio.timeout(MESSAGE_TIMEOUT_S):
            body = await context.read()
    except TimeoutError:
        raise InvalidArgument("body", f"did not arrive within {MESSAGE_TIMEOUT_S:.0f} s") from None
    if body is aio.EOF:
        raise InvalidArgument("body", f"is missing: send a {method.request.DESCRIPTOR.name}")
    return _parsed(method, body)


def _parsed(method: Method, body: bytes) -> Message:
    name = method.request.DESCRIPTOR.name
    try:
        return method.request.FromString(body)
    except DecodeError as error:
        raise InvalidArgument("body", f"is not a protobuf-encoded {name}: use the protos of this server") from error


def _metadata(context: aio.ServicerContext[Any, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            found.setdefault(name.lower(), value)
    return found | {REQUEST_ID: request_id_of(found)}


async def _abort(context: aio.ServicerContext[Any, Any], failure: Failure, metadata: dict[str, str]) -> None:
    trailing = ((STATUS_DETAILS_KEY, failure.status.SerializeToString()), (REQUEST_ID, metadata[REQUEST_ID]))
    await context.abort(failure.grpc_code, failure.status.message, trailing)
