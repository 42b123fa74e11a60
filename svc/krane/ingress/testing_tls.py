"""A TLS client for tests: handshakes, and HTTP/1.1 and HTTP/2 over them. It trusts everything."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from svc.krane.ingress.testing_raw import LIMIT_BYTES, TIMEOUT_S, RawClient

_READ_BYTES = 65536


def context(alpn: str = "http/1.1", most: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A context that verifies nothing; `most` is the highest version that it offers."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols([alpn])
    if most is not None:
        made.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        made.maximum_version = most
        made.set_ciphers("ALL:@SECLEVEL=0")
    return made


@dataclass(frozen=True)
class Handshake:
    """What a handshake came to.

    Attributes:
        serial: Of the certificate that was shown.
        took_s: From the connection to its end.
    """

    serial: int
    version: str | None
    alpn: str | None
    took_s: float


async def handshake(
    port: int, server_name: str, using: ssl.SSLContext | None = None, *, source: str = "127.0.0.1"
) -> Handshake:
    """One handshake on a connection of its own, at most 10 s. Raises what the network and TLS raise."""
    began = time.monotonic()
    client = await connect(port, server_name, using, source=source)
    took_s = time.monotonic() - began
    tls = client.writer.get_extra_info("ssl_object")
    shown = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
    client.close()
    return Handshake(shown.serial_number, tls.version(), tls.selected_alpn_protocol(), took_s)


def hello(server_name: bytes) -> bytes:
    """The first message of a client that asks for `server_name`, byte for byte."""
    outgoing = ssl.MemoryBIO()
    placeholder = "x" * len(server_name)
    tls = context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=placeholder)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read().replace(placeholder.encode(), server_name)


async def until_closed(port: int, data: bytes, timeout_s: float = TIMEOUT_S) -> float:
    """Sends bytes on a connection of its own; seconds until the other side closed it. Raises TimeoutError."""
    client = await RawClient.connect(port)
    began = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            with contextlib.suppress(ConnectionError):
                await client.send(data)
                while await client.reader.read(_READ_BYTES):
                    pass
        return time.monotonic() - began
    finally:
        client.close()


async def connect(
    port: int, server_name: str, using: ssl.SSLContext | None = None, *, source: str = "127.0.0.1"
) -> RawClient:
    """A connection over TLS, to send bytes on."""
    async with asyncio.timeout(TIMEOUT_S):
        streams = await asyncio.open_connection(
            "127.0.0.1",
            port,
            ssl=using or context(),
            server_hostname=server_name,
            local_addr=(source, 0),
            limit=LIMIT_BYTES,
        )
    return RawClient(*streams)


@dataclass
class Http2Answer:
    """What came on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    reset: int | None = None
    is_ended: bool = False

    @property
    def status(self) -> int:
        """Of the response; 0 when there was none."""
        return int(self.headers.get(":status", "0"))


class Http2Client:
    """One HTTP/2 connection over TLS. It sends what it is told to, valid or not.

    Attributes:
        protocol: For frames that no method here sends; `flush` afterwards.
        is_closed: The other side closed the connection, or said that it will.
    """

    def __init__(self, client: RawClient) -> None:
        self._client = client
        configuration = H2Configuration(
            client_side=True,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
        )
        self.protocol = H2Connection(configuration)
        self.protocol.initiate_connection()
        self.answers: dict[int, Http2Answer] = {}
        self.is_closed = False
        self._changed = asyncio.Event()
        self._reader = asyncio.create_task(self._read(), name="http2-reader")

    async def flush(self) -> None:
        """Sends what `protocol` has to send."""
        self._client.writer.write(self.protocol.data_to_send())
        with contextlib.suppress(ConnectionError):
            await self._client.writer.drain()

    async def write(self, data: bytes) -> None:
        """Sends bytes as they are, after what `protocol` has to send."""
        await self.flush()
        with contextlib.suppress(ConnectionError):
            await self._client.send(data)

    def stop_reading(self) -> None:
        """Takes nothing any more of what the other side sends."""
        self._reader.cancel()

    async def write_within(self, data: bytes, timeout_s: float) -> bool:
        """Sends bytes as they are; False when the other side does not take them in time, or has closed."""
        if self._client.writer.transport.is_closing():
            return False
        try:
            await asyncio.wait_for(self._client.send(data), timeout_s)
        except (TimeoutError, ConnectionError):
            return False
        return True

    async def begin(self, headers: list[tuple[str, str]], *, is_ended: bool = True) -> int:
        """Begins a request; its stream."""
        stream = self.protocol.get_next_available_stream_id()
        self.answers[stream] = Http2Answer()
        self.protocol.send_headers(stream, headers, end_stream=is_ended)
        await self.flush()
        return stream

    async def get(self, host: str, path: str = "/", *more: tuple[str, str], method: str = "GET") -> Http2Answer:
        """One request without a body, and its answer."""
        base = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
        return await self.answer(await self.begin([*base, *more]))

    async def send_data(self, stream: int, data: bytes, *, is_ended: bool = False) -> None:
        """Sends a body, as far as the windows allow, and waits for more of them."""
        async with asyncio.timeout(60):
            while data:
                size = min(
                    len(data),
                    self.protocol.local_flow_control_window(stream),
                    self.protocol.max_outbound_frame_size,
                )
                if size == 0:
                    await self._wait()
                    continue
                self.protocol.send_data(stream, data[:size])
                data = data[size:]
                await self.flush()
        if is_ended:
            self.protocol.end_stream(stream)
            await self.flush()

    async def answer(self, stream: int) -> Http2Answer:
        """The whole answer, or as much as came before the stream or the connection ended."""
        async with asyncio.timeout(TIMEOUT_S):
            while not self.answers[stream].is_ended and not self.is_closed:
                await self._wait()
        return self.answers[stream]

    async def closed(self, timeout_s: float = TIMEOUT_S) -> bool:
        """Whether the other side ends the connection in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.is_closed:
                    await self._wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Closes it."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        self._client.close()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await self._client.reader.read(_READ_BYTES):
                for event in self.protocol.receive_data(data):
                    self._take(event)
                await self.flush()
                self._changed.set()
        self.is_closed = True
        self._changed.set()

    def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.is_closed = True
            return
        stream = getattr(event, "stream_id", None)
        answer = self.answers.get(stream) if stream else None
        if answer is None:
            return
        if isinstance(event, ResponseReceived):
            answer.headers = _text(event.headers)
        elif isinstance(event, TrailersReceived):
            answer.trailers = _text(event.headers)
        elif isinstance(event, DataReceived):
            answer.body += event.data
            self.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamReset):
            answer.reset, answer.is_ended = event.error_code, True
        elif isinstance(event, StreamEnded):
            answer.is_ended = True


def _text(headers: Iterable[tuple[Any, Any]] | None) -> dict[str, str]:
    return {str(name): str(value) for name, value in headers or ()}


@contextlib.asynccontextmanager
async def http2(port: int, server_name: str, *, source: str = "127.0.0.1") -> AsyncIterator[Http2Client]:
    """An HTTP/2 connection; closes it."""
    client = Http2Client(await connect(port, server_name, context("h2"), source=source))
    try:
        yield client
    finally:
        await client.close()
