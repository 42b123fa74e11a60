"""The two listeners: sockets, limits, and how they stop."""

import asyncio
import socket
from collections.abc import Callable

from aiohttp import web
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from pkg.config import ConfigError
from pkg.config.sections import is_loopback, split_address
from pkg.listener import Listener
from pkg.listener.listener import KEEP_ALIVE
from pkg.storage.port import RUNNER_LIMITS
from svc.api.rpc import RpcPipeline, Service
from svc.api.rpc.grpc_transport import DenyByDefault, register

GRACE_S = 5.0
GRPC_CONNECTIONS = 1024
_OPTIONS: list[tuple[str, int]] = [
    ("grpc.so_reuseport", 0),  # a second api on the same port is an error, not a share of the calls
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.absolute_max_metadata_size", 32 << 10),
    # limits before authentication: beyond them a connection is closed, a stream waits
    ("grpc.max_allowed_incoming_connections", GRPC_CONNECTIONS),
    ("grpc.max_concurrent_streams", 256),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 600_000),
    # a client that disappeared is detected within 40 s; idle streams may send pings
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 16),
]


class GrpcServer:
    """The gRPC listener with health, and with reflection on loopback."""

    def __init__(self, listen: str, services: list[Service], pipeline: RpcPipeline) -> None:
        self._pipeline = pipeline
        self._server = aio.server(interceptors=[DenyByDefault(services)], options=_OPTIONS)
        register(self._server, services, pipeline)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._names = [service.name for service in services]
        if is_loopback(listen):
            names = [*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME]
            reflection.enable_server_reflection(names, self._server)
        try:
            self.port = self._server.add_insecure_port(listen)
        except RuntimeError as error:
            raise ConfigError("config.listen", f"grpc.listen: cannot listen on {listen}: is it in use?") from error

    async def start(self) -> None:
        """Accepts calls from now on."""
        await self._server.start()
        for name in ("", *self._names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Accepts no new call, ends streams with UNAVAILABLE, gives unary calls the grace to end."""
        await self._health.enter_graceful_shutdown()
        stopping = asyncio.create_task(self._server.stop(GRACE_S), name="grpc-stop")
        self._pipeline.close()
        await stopping


def bind_http(listen: str) -> socket.socket:
    """A listening socket; its port is known before anything is served."""
    host, port = split_address(listen)
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError("config.listen", f"http.listen: cannot listen on {listen}: {error.strerror}") from error


class HttpServer:
    """The HTTP listener."""

    def __init__(
        self,
        app: web.Application,
        listener: socket.socket,
        pipeline: RpcPipeline,
        on_refused: Callable[[str], object] = lambda _reason: None,
    ) -> None:
        self._pipeline = pipeline
        self._listener = Listener("the HTTP listener", listener, on_refused=on_refused)
        self._serving: asyncio.Task[None] | None = None
        app.middlewares.insert(0, self._listener.middleware)
        # a client that disconnects cancels its handler, so that a followed stream ends with its reader
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=GRACE_S,
            logger=self._listener.logger,
            **KEEP_ALIVE,
            **RUNNER_LIMITS,
        )

    async def start(self) -> None:
        """Accepts requests from now on."""
        await self._runner.setup()
        assert self._runner.server is not None
        self._serving = asyncio.create_task(self._listener.serve(self._runner.server), name="http-listener")

    async def stop(self) -> None:
        """Accepts no new request, ends streams, gives the others the grace to end."""
        self._pipeline.close()
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait({self._serving})
        await self._runner.cleanup()
