"""A gRPC app for tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
from grpc import aio

from svc.krane.ingress.port import Endpoint


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A service of the four kinds of method, and of every way to end."""

    def __init__(self) -> None:
        self.metadata: dict[str, str] = {}
        self.deadline_s = 0.0
        self.cancelled = asyncio.Event()
        self.calls = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """The method by the last part of its path."""
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "Down": grpc.unary_stream_rpc_method_handler(self._down),
            "Up": grpc.stream_unary_rpc_method_handler(self._up),
            "Both": grpc.stream_stream_rpc_method_handler(self._both),
            "Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "Wait": grpc.unary_stream_rpc_method_handler(self._wait),
        }
        self.metadata = {str(key): str(value) for key, value in handler_call_details.invocation_metadata or ()}
        return methods.get(handler_call_details.method.rpartition("/")[2])

    async def _unary(self, request: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        self.calls += 1
        self.deadline_s = context.time_remaining() or 0.0
        context.set_trailing_metadata((("x-sum", "42"), ("x-raw-bin", b"\x00\xff")))
        return request

    async def _down(self, request: bytes, context: aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        for _ in range(int(request)):
            yield b"x" * 100_000

    async def _up(self, requests: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]) -> bytes:
        return str(sum([len(one) async for one in requests])).encode()

    async def _both(
        self, requests: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        async for one in requests:
            yield one

    async def _fail(self, request: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        context.set_trailing_metadata((("x-why", "full"),))
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "přeplněno, 100 %")
        raise AssertionError

    async def _wait(self, request: bytes, context: aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        yield b"begun"
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


@contextlib.asynccontextmanager
async def serving(app: Echo) -> AsyncIterator[tuple[aio.Server, Endpoint]]:
    """The app on a free port of loopback, by HTTP/2 without TLS; its server and its endpoint."""
    server = aio.server()
    server.add_generic_rpc_handlers((app,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield server, Endpoint("127.0.0.1", port, healthy=True)
    finally:
        await server.stop(None)
