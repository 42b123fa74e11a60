"""Channels to a BuildKit: that of a Docker engine (POST /grpc, upgraded), on a unix socket, on TCP with mutual TLS."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc
import grpc.aio
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from pkg.buildkit.pb import control_pb2 as pb
from pkg.buildkit.pb.control_pb2_grpc import ControlStub

if TYPE_CHECKING:
    from pkg.buildkit.pb.control_pb2_grpc import ControlAsyncStub

MIB = 1 << 20
UPGRADE_TIMEOUT_S = 10
_COPY_BYTES = 256 << 10
OPTIONS = (
    # An error's detail carries the whole Dockerfile in the trailer: with the default of 8 KiB, a mid-size Dockerfile
    # turns every failure into "Stream removed (RST_STREAM)".
    ("grpc.max_metadata_size", 4 * MIB),
    ("grpc.absolute_max_metadata_size", 4 * MIB),
    ("grpc.max_receive_message_length", 16 * MIB),
    ("grpc.max_send_message_length", 16 * MIB),
    # what a step says fast must not gather at the daemon: see pkg/buildkit/follow.py
    ("grpc.http2.lookahead_bytes", 16 * MIB),
    # a machine that is being started is asked once a second: the default waits up to two minutes for another connection
    ("grpc.max_reconnect_backoff_ms", 1000),
    # No keepalive: a daemon answers pings on a quiet stream with GOAWAY too_many_pings. The session keeps it alive.
)


class ChannelLostError(Exception):
    """There is no BuildKit at the other end, or none that answers."""


class CertificateError(ChannelLostError):
    """Certificates and key don't make a TLS client.

    Attributes:
        part: "ca", "cert" or "key".
        why: what is wrong with it.
    """

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"{part} {why}")
        self.part = part
        self.why = why


def stub(channel: grpc.aio.Channel) -> "ControlAsyncStub":
    """The typed control API of a channel."""
    return cast("ControlAsyncStub", ControlStub(channel))


@asynccontextmanager
async def engine_channel(engine_socket: Path) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the BuildKit inside a Docker engine. It lives as long as the block.

    grpcio takes no connected socket, so a private unix socket (directory 0700) stands between it and the engine's
    upgraded connection. Calls fail with UNAVAILABLE while the engine is away.
    """
    bridge = EngineBridge(engine_socket)
    with tempfile.TemporaryDirectory(prefix="sealift-bk-") as folder:
        server = await asyncio.start_unix_server(bridge, f"{folder}/s")
        channel = grpc.aio.insecure_channel(f"unix:{folder}/s", OPTIONS)
        try:
            yield channel
        finally:
            await channel.close()
            server.close()
            await bridge.close()
            await server.wait_closed()


def unix_channel(socket: Path) -> grpc.aio.Channel:
    """A channel to a buildkitd on a unix socket. The caller closes it."""
    return grpc.aio.insecure_channel(f"unix:{socket}", OPTIONS)


def mtls_channel(endpoint: str, *, server_name: str, ca: bytes, key: bytes, cert: bytes) -> grpc.aio.Channel:
    """A channel to a buildkitd at "host:port" ("tcp://" is fine), both sides proved by PEM certificates.

    The caller closes it. A wrong name and a refused client certificate both show as UNAVAILABLE.

    Raises:
        CertificateError: one of the three is not what it has to be.
    """
    _check_certificates(ca, key, cert)
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    options = (*OPTIONS, ("grpc.ssl_target_name_override", server_name))
    return grpc.aio.secure_channel(endpoint.removeprefix("tcp://"), credentials, options)


def _check_certificates(ca: bytes, key: bytes, cert: bytes) -> None:
    """GRPC ends the whole process when it is given a key that does not fit, or no certificate at all."""
    for part, pem in (("ca", ca), ("cert", cert)):
        try:
            x509.load_pem_x509_certificates(pem)
        except ValueError:
            raise CertificateError(part, "has no certificate in it") from None
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateError("key", "has no key without a passphrase in it") from None
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    certified = x509.load_pem_x509_certificates(cert)[0].public_key()
    if private.public_key().public_bytes(*form) != certified.public_bytes(*form):
        raise CertificateError("key", "is not the key of the certificate")


async def wait_ready(channel: grpc.aio.Channel, timeout_s: float, *, pause_s: float = 0.2) -> list[str]:
    """Waits until the daemon answers; a fresh machine may load a large cache first. Returns platforms ("linux/amd64").

    It is asked again `pause_s` after each answer that it is not there yet.

    Raises:
        ChannelLostError: no answer within `timeout_s`, or a refusal.
    """
    reason = "no answer"
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    workers = await stub(channel).ListWorkers(pb.ListWorkersRequest(), timeout=5)
                    return [f"{p.OS}/{p.Architecture}" for w in workers.record for p in w.platforms]
                except grpc.aio.AioRpcError as e:
                    reason = f"{e.code().name}: {e.details()}"
                    if e.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                        raise ChannelLostError(reason) from None
                await asyncio.sleep(pause_s)
    except TimeoutError:
        raise ChannelLostError(f"not ready after {timeout_s:g} s ({reason})") from None


class EngineBridge:
    """Connection callback of an asyncio server: each connection becomes one upgraded POST /grpc on the engine."""

    def __init__(self, engine_socket: Path) -> None:
        self._engine_socket = engine_socket
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            async with asyncio.timeout(UPGRADE_TIMEOUT_S):
                engine_reader, engine_writer = await upgrade(self._engine_socket)
            try:
                await _splice(reader, engine_writer, engine_reader, writer)
            finally:
                engine_writer.close()
        except (asyncio.CancelledError, ChannelLostError, OSError, TimeoutError):
            pass  # Python 3.11 logs an error of its own when a cancellation leaves a connection callback
        finally:
            writer.close()
            self._connections.pop(task, None)

    async def close(self) -> None:
        """Cuts every connection. Idempotent."""
        connections = dict(self._connections)
        for task, writer in connections.items():
            task.cancel()
            writer.transport.abort()  # TLS would wait for the other side
        await asyncio.gather(*connections, return_exceptions=True)


async def upgrade(engine_socket: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the engine, upgraded to HTTP/2 with its BuildKit.

    Raises:
        ChannelLostError: the engine answered, but did not switch protocols.
        OSError: no engine.
    """
    reader, writer = await asyncio.open_unix_connection(engine_socket, limit=_COPY_BYTES)
    try:
        writer.write(
            b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"
        )
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")  # the reader keeps what follows
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as e:
        writer.close()
        raise ChannelLostError(f"the engine at {engine_socket} closed the connection") from e
    except BaseException:
        writer.close()
        raise
    status = head.split(b"\r\n", 1)[0].decode(errors="replace")
    if " 101 " not in f"{status} ":
        writer.close()
        raise ChannelLostError(f"the engine at {engine_socket} has no BuildKit: it answered {status!r} to POST /grpc")
    return reader, writer


async def _splice(
    reader: asyncio.StreamReader,
    engine_writer: asyncio.StreamWriter,
    engine_reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    directions = [asyncio.create_task(_copy(reader, engine_writer)), asyncio.create_task(_copy(engine_reader, writer))]
    try:
        # HTTP/2 has no half-open connections: when one side is done, so is the other
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_COPY_BYTES):
            writer.write(data)
            await writer.drain()
