"""The discovery services of Envoy on a unix socket, by generic gRPC handlers without stubs: ADS, and SDS for TLS."""

import asyncio
import contextlib
import stat
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from pkg.errors import Unavailable
from svc.krane.ingress.ingress import EnvoyIngress
from svc.krane.ingress.messages import DiscoveryRequest, DiscoveryResponse

_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_METHOD = "StreamAggregatedResources"
_REQUEST_MAX_BYTES = 64 << 20  # a NACK quotes the whole resource
_SOCKET_PATH_MAX = 107  # sun_path is 108 bytes with the closing NUL


class AdsServer:
    """Serves one `EnvoyIngress`. Envoy keeps its configuration while this server is away."""

    def __init__(self, ingress: EnvoyIngress, socket_path: Path) -> None:
        self._ingress = ingress
        self._path = socket_path
        self._server: aio.Server | None = None

    async def start(self) -> None:
        """Opens the socket (mode 0600). A socket left behind by a process that is gone is replaced.

        Raises:
            Unavailable: `ingress.ads_socket`, when the path is too long or cannot be bound.
        """
        if len(str(self._path).encode()) > _SOCKET_PATH_MAX:
            raise Unavailable(
                "ingress.ads_socket",
                f"the ADS socket path {self._path} is longer than {_SOCKET_PATH_MAX} bytes: use a shorter directory",
            )
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(self._path.lstat().st_mode):
                self._path.unlink()
        server = aio.server(options=[("grpc.max_receive_message_length", _REQUEST_MAX_BYTES)])
        stream = grpc.stream_stream_rpc_method_handler(
            self._stream, DiscoveryRequest.FromString, DiscoveryResponse.SerializeToString
        )
        ads = grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: stream})
        server.add_generic_rpc_handlers((ads, self._ingress.secrets.handler()))
        try:
            server.add_insecure_port(f"unix:{self._path}")
            await server.start()
            self._path.chmod(0o600)
        except (RuntimeError, OSError) as error:
            await server.stop(0)
            raise Unavailable(
                "ingress.ads_socket",
                f"cannot listen on {self._path} ({error}): its directory must exist and be writable",
            ) from error
        self._server = server

    async def stop(self) -> None:
        """Ends the streams and closes the socket. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(0)
            await self._ingress.secrets.close()

    async def _stream(self, _requests: Any, context: Any) -> None:
        first = await context.read()
        if first is aio.EOF:
            return
        session = self._ingress.open(first.node.id)
        self._ingress.receive(session, first)
        reader = asyncio.create_task(self._read(session, context), name="ads-reader")
        try:
            while not session.closed:
                session.wake.clear()
                while (answer := self._ingress.next_answer(session)) is not None:
                    await context.write(answer)
                await session.wake.wait()
        finally:
            reader.cancel()
            self._ingress.closed(session)
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    async def _read(self, session: Any, context: Any) -> None:
        try:
            while (request := await context.read()) is not aio.EOF:
                self._ingress.receive(session, request)
        finally:
            session.close()
