"""The way to a buildkitd: opens a channel, and finds out why none can be opened.

gRPC reports every fault of a connection as UNAVAILABLE. `why` goes the same way with Python's own sockets, which name
the step that fails.
"""

import asyncio
import errno
import socket
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc.aio

from pkg.buildkit import CertificateError, ChannelLostError, mtls_channel, unix_channel

TRY_TIMEOUT_S = 5.0
# What a client of HTTP/2 sends first, with empty settings; a server answers with its own.
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


class Connection(Protocol):
    """The way to one daemon."""

    def channel(self) -> AbstractAsyncContextManager[grpc.aio.Channel]:
        """A channel for the block; opens no connection yet. Raises ChannelLostError when a file can't be read."""
        ...

    async def why(self) -> str:
        """Why there is no connection; "" when there is one now. Takes TRY_TIMEOUT_S at most."""
        ...

    def __str__(self) -> str:
        """The address, as in the configuration."""
        ...


@dataclass(frozen=True, slots=True)
class UnixConnection:
    """A daemon on a unix socket of this machine."""

    path: Path

    def __str__(self) -> str:
        return f"unix://{self.path}"

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """See `Connection.channel`."""
        async with unix_channel(self.path) as channel:
            yield channel

    async def why(self) -> str:
        """See `Connection.why`."""
        try:
            if not stat.S_ISSOCK(self.path.stat().st_mode):
                return f"{self.path} is no socket"
            async with asyncio.timeout(TRY_TIMEOUT_S):
                _, writer = await asyncio.open_unix_connection(self.path)
                writer.close()
        except FileNotFoundError:
            return f"there is no {self.path}. Is buildkitd running, and is this the socket it listens on?"
        except PermissionError:
            return f"{self.path} may not be opened by the user of the worker: give it the socket's group"
        except (OSError, TimeoutError):
            return f"nothing answers on {self.path}. Is buildkitd running?"
        return ""


class TcpConnection:
    """A daemon on TCP with mutual TLS. The files are read for each channel, so new ones need no restart."""

    def __init__(self, endpoint: str, *, server_name: str, ca_file: Path, cert_file: Path, key_file: Path) -> None:
        """`endpoint` is "host:port"; the others are as in `BuildkitConfig`."""
        self._endpoint = endpoint
        self._server_name = server_name
        self._ca_file = ca_file
        self._cert_file = cert_file
        self._key_file = key_file

    def __str__(self) -> str:
        return f"tcp://{self._endpoint}"

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """See `Connection.channel`."""
        async with self._open() as channel:
            yield channel

    async def why(self) -> str:
        """See `Connection.why`."""
        host, _, port = self._endpoint.rpartition(":")
        try:
            await self._open().close()
            context = self._context()
            async with asyncio.timeout(TRY_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(
                    host.strip("[]"), int(port), ssl=context, server_hostname=self._server_name
                )
                try:
                    # the client's certificate is refused after the client's part of the handshake
                    writer.write(_HTTP2_PREFACE)
                    if not await reader.read(1):
                        return self._why_refused("it closes the connection")
                finally:
                    writer.transport.abort()
        except ChannelLostError as error:
            return str(error)
        except TimeoutError:
            return f"{self._endpoint} does not answer within {TRY_TIMEOUT_S:.0f} s: check the address and firewalls"
        except socket.gaierror as error:
            return f"the name {host!r} can't be resolved ({error.strerror}): check address and this machine's DNS"
        except ssl.SSLCertVerificationError as error:
            return self._why_not_trusted(error)
        except ssl.SSLError as error:
            return self._why_no_tls(error)
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                return f"nothing listens on {self._endpoint}. Is buildkitd running with --addr tcp://...?"
            if error.errno == errno.ECONNRESET:
                return self._why_refused("it resets the connection")
            return f"{self._endpoint} can't be reached: {error.strerror or error}"
        return ""

    def _open(self) -> grpc.aio.Channel:
        files = {"ca": self._ca_file, "cert": self._cert_file, "key": self._key_file}
        read = {part: _read(f"{part}_file", path) for part, path in files.items()}
        try:
            return mtls_channel(self._endpoint, server_name=self._server_name, **read)
        except CertificateError as error:
            raise ChannelLostError(f"{error.part}_file {files[error.part]} {error.why}") from None

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=str(self._ca_file))
            context.load_cert_chain(self._cert_file, self._key_file)
        except (ssl.SSLError, OSError) as error:  # replaced in this moment
            raise ChannelLostError(f"{self._ca_file}, {self._cert_file}, {self._key_file}: {error}") from None
        context.set_alpn_protocols(["h2"])
        return context

    def _why_not_trusted(self, error: ssl.SSLCertVerificationError) -> str:
        if "Hostname mismatch" in error.verify_message or "IP address mismatch" in error.verify_message:
            return (
                f"the certificate of {self._endpoint} is not for {self._server_name!r}: set server_name to the name in"
                " it"
            )
        return (
            f"the certificate of {self._endpoint} is not accepted ({error.verify_message}): ca_file {self._ca_file}"
            " must be the authority that signed it"
        )

    def _why_refused(self, reason: str) -> str:
        return (
            f"{self._endpoint} does not accept the certificate {self._cert_file} ({reason}): its --tlscacert must be"
            " the authority that signed it"
        )

    def _why_no_tls(self, error: ssl.SSLError) -> str:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        if "wrong version number" in reason or "record layer" in reason:
            return f"{self._endpoint} does not speak TLS: start buildkitd with --tlscert, --tlskey and --tlscacert"
        if "alert" in reason or "certificate" in reason:
            return self._why_refused(reason)
        return f"TLS with {self._endpoint} fails: {reason}"


def _read(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()  # some kilobytes of a local file
    except OSError as error:
        why = "there is no such file" if error.errno == errno.ENOENT else error.strerror
        raise ChannelLostError(f"{key} {path} can't be read: {why}") from None
