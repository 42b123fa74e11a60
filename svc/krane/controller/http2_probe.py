"""Asks an app one question in HTTP/2 by prior knowledge, on a connection of its own."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from grpc_health.v1.health_pb2 import HealthCheckResponse
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

GRPC_HEALTH_PATH = "/grpc.health.v1.Health/Check"
_GRPC_NO_SERVICE_NAME = b"\0\0\0\0\0"  # the frame of an empty message: the health of the server as a whole
_GRPC_FRAME_HEAD_BYTES = 5
# Frames cost more to read than to send, and all probes share a loop: few at a time, and an end to them. A window of
# data (64 KiB) fits, with what comes before it.
_READ_BYTES = 16_384
_MAX_BYTES = 98_304
# Three digits, and what gRPC knows of; the app may send anything, and what is shown of it goes into reports.
_STATUS = re.compile(r"[1-9][0-9]{2}")
_GRPC_STATUS = re.compile(r"[0-9]{1,3}")


class NotHttp2Error(Exception):
    """What came back is no HTTP/2, or the connection ended before any."""


class NoAnswerError(Exception):
    """The app speaks HTTP/2, and gave no answer. The message says what it did instead; its subject is the app."""

    def __init__(self, message: str = "ended the request without an answer") -> None:
        super().__init__(message)


@dataclass
class Answer:
    """The answer to a request. `fields` are headers and trailers, in lower case; `body` is whole for gRPC only."""

    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def status(self) -> int:
        """The HTTP status; 0 if it is none."""
        text = self.fields.get(":status", "")
        return int(text) if _STATUS.fullmatch(text) else 0

    @property
    def grpc_health(self) -> str:
        """The answer to `GRPC_HEALTH_PATH`, e.g. "SERVING", else the status, e.g. "grpc-status 12"."""
        code = self.fields.get("grpc-status", "")
        if self.status != 200 or code != "0":
            if not code:
                return str(self.status)
            return f"grpc-status {code}" if _GRPC_STATUS.fullmatch(code) else "a grpc-status that is none"
        try:
            health = HealthCheckResponse.FromString(self.body[_GRPC_FRAME_HEAD_BYTES:])
            return str(HealthCheckResponse.ServingStatus.Name(health.status))
        except ValueError:  # DecodeError is one
            return "something else than a HealthCheckResponse"


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Returns once the app has begun the connection with HTTP/2's settings.

    Raises:
        NotHttp2Error: It answers something else, or nothing.
        OSError: The network failed.
    """
    connection = _begin(writer)
    async for event in _events(connection, reader, writer):
        if isinstance(event, RemoteSettingsChanged):
            _end(connection, writer)
            return
    raise NotHttp2Error


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, host: str, path: str, user_agent: str
) -> Answer:
    """The answer to a GET of `path`, or to the call of `GRPC_HEALTH_PATH`. A body that is not needed is not waited for.

    Raises:
        NotHttp2Error: The app does not speak it.
        NoAnswerError: It does, and does not answer.
        OSError: The network failed.
    """
    is_grpc = path == GRPC_HEALTH_PATH
    connection = _begin(writer)
    head = [
        (":method", "POST" if is_grpc else "GET"),
        (":scheme", "http"),
        (":authority", host),
        (":path", path),
        ("user-agent", user_agent),
    ]
    if is_grpc:
        head += [("content-type", "application/grpc"), ("te", "trailers")]
    else:
        head += [("accept", "*/*")]
    stream = connection.get_next_available_stream_id()
    connection.send_headers(stream, head, end_stream=not is_grpc)
    if is_grpc:
        connection.send_data(stream, _GRPC_NO_SERVICE_NAME, end_stream=True)
    writer.write(connection.data_to_send())
    answer, is_http2 = Answer(), False
    async for event in _events(connection, reader, writer):
        is_http2 = is_http2 or isinstance(event, RemoteSettingsChanged)
        if isinstance(event, ResponseReceived | TrailersReceived):
            answer.fields.update(_fields(event))
        elif isinstance(event, DataReceived):
            answer.body += event.data
        elif isinstance(event, StreamReset | ConnectionTerminated) and not answer.status:
            raise NoAnswerError
        if isinstance(event, StreamEnded) or (answer.status and not is_grpc):
            _end(connection, writer)
            return answer
    raise NoAnswerError if is_http2 else NotHttp2Error


def _begin(writer: asyncio.StreamWriter) -> H2Connection:
    connection = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    connection.initiate_connection()
    writer.write(connection.data_to_send())
    return connection


async def _events(
    connection: H2Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> AsyncIterator[Event]:
    left = _MAX_BYTES
    while data := await reader.read(_READ_BYTES):
        left -= len(data)
        if left < 0:
            raise NoAnswerError(f"sent more than {_MAX_BYTES >> 10} KiB without an answer")
        try:
            events = connection.receive_data(data)
        except ProtocolError:
            raise NotHttp2Error from None
        writer.write(connection.data_to_send())
        for event in events:
            yield event


def _end(connection: H2Connection, writer: asyncio.StreamWriter) -> None:
    connection.close_connection()
    writer.write(connection.data_to_send())


def _fields(event: ResponseReceived | TrailersReceived) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in event.headers or ()}


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
