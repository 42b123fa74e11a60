"""gRPC requests into the pipeline, its answers and failures out as gRPC."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError, Message
from grpc import aio

from pkg.errors import InvalidArgument
from svc.api.rpc.clients import grpc_peer
from svc.api.rpc.failure import STATUS_DETAILS_KEY, Failure
from svc.api.rpc.methods import Method, Service
from svc.api.rpc.pipeline import REQUEST_ID, RpcPipeline, request_id_of

# grpcio's own services, which need no key: health for probes, and reflection, which is served on loopback only
OPEN_SERVICES = frozenset({"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"})

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
        return grpc.unary_unary_rpc_method_handler(_unknown)


async def _unknown(_request: bytes, context: aio.ServicerContext[Any, Any]) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this server has no such method")


def register(server: aio.Server, services: Iterable[Service], pipeline: RpcPipeline) -> None:
    """Adds the services to the server, each method through the pipeline."""
    for service in services:
        handlers = {name: _handler(method, pipeline) for name, method in service.methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.name, handlers),))


def _handler(method: Method, pipeline: RpcPipeline) -> Any:
    async def unary(body: bytes, context: aio.ServicerContext[Any, Any]) -> Any:
        assert method.unary is not None
        metadata = _metadata(context)
        try:
            receive = partial(_parse, method, body)
            peer = grpc_peer(context.peer())
            async with pipeline.enter(method, metadata, receive, transport="grpc", peer=peer) as (call, request):
                answer = await method.unary(request, call)
                context.set_trailing_metadata(((REQUEST_ID, call.request_id),))
                return answer
        except Failure as failure:
            await _abort(context, failure, metadata)

    async def stream(body: bytes, context: aio.ServicerContext[Any, Any]) -> None:
        # a coroutine that writes, not a generator: a cancel then always ends inside this very task
        assert method.stream is not None
        metadata, receive, peer = _metadata(context), partial(_parse, method, body), grpc_peer(context.peer())
        try:
            async with (
                pipeline.enter(method, metadata, receive, transport="grpc", peer=peer) as (call, request),
                aclosing(cast("Any", method.stream(request, call))) as answers,
            ):
                await context.send_initial_metadata(((REQUEST_ID, call.request_id),))
                async for answer in answers:
                    await context.write(answer)
        except Failure as failure:
            await _abort(context, failure, metadata)

    def encode(answer: Any) -> bytes:
        return cast("bytes", answer.SerializeToString())

    if method.unary is not None:
        return grpc.unary_unary_rpc_method_handler(unary, response_serializer=encode)
    return grpc.unary_stream_rpc_method_handler(stream, response_serializer=encode)


async def _parse(method: Method, body: bytes) -> Message:
    """The request. grpc's own deserializer would answer UNKNOWN, before any key is looked at, with a traceback."""
    try:
        return method.request.FromString(body)
    except DecodeError as error:
        name = method.request.DESCRIPTOR.name
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
