"""HTTP/1 byte by byte for tests: a client that sends what it is given, and an app that answers what it is set to.

No HTTP library stands between: what Envoy adds, drops or rewrites on the way is visible on both sides.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

from pkg.testing.wait import WAIT_S
from svc.krane.ingress.port import Endpoint

LIMIT_BYTES = 16 << 20
TIMEOUT_S = WAIT_S


@dataclass
class Message:
    """A request or a response as it came over the wire.

    Attributes:
        start: The request line or the status line, without its line end.
        headers: In their order and case, values without surrounding spaces.
        body: Decoded from chunks.
        trailers: Of a chunked body.
        interim: Responses of the class 1xx that came first, but for 101.
        is_cut: The connection ended before the message did.
    """

    start: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: "list[Message]" = field(default_factory=list)
    is_cut: bool = False

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start.split(b" ")[1])

    def all(self, name: str) -> list[bytes]:
        """Every value of a header, whatever the case of its name."""
        return [value for key, value in self.headers if key.lower() == name.lower().encode()]

    def one(self, name: str) -> bytes | None:
        """The value of a header; None when it is not there. It is there once at most."""
        values = self.all(name)
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode()


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    pairs = (line.partition(b":") for line in lines if line)
    return [(name, value.strip(b" \t")) for name, _, value in pairs]


async def read_head(reader: asyncio.StreamReader) -> Message:
    """The start line and the headers. Raises IncompleteReadError at the end of the stream."""
    start, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    return Message(start, _fields(lines))


async def read_body(reader: asyncio.StreamReader, message: Message, *, until_close: bool) -> None:
    """Fills in the body, by its length, in chunks, or, for a response without either, until the end of the stream."""
    lengths = message.all("content-length")
    try:
        if (message.all("transfer-encoding") or [b""])[-1].lower() == b"chunked":
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                message.body += (await reader.readexactly(size + 2))[:-2]
            while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                message.trailers += _fields([line[:-2]])
        elif lengths:
            message.body = await reader.readexactly(int(lengths[0]))
        elif until_close:
            message.body = await reader.read(-1)
    except asyncio.IncompleteReadError as error:
        message.body += error.partial
        message.is_cut = True


class RawClient:
    """One TCP connection to the ingress."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, source: str = "127.0.0.1") -> "RawClient":
        """Connects from `source`, any address of 127.0.0.0/8."""
        streams = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0), limit=LIMIT_BYTES)
        return cls(*streams)

    async def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, to_head: bool = False) -> Message:
        """The next response, at most `TIMEOUT_S` seconds. Raises IncompleteReadError when there is none."""
        interim: list[Message] = []
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                message = await read_head(self.reader)
                if message.status >= 200 or message.status == 101:
                    break
                interim.append(message)
            message.interim = interim
            if not to_head and message.status not in (101, 204, 304):
                await read_body(self.reader, message, until_close=True)
        return message

    async def ended(self) -> bool:
        """Whether the other side closes within `TIMEOUT_S`, sending nothing more."""
        async with asyncio.timeout(TIMEOUT_S):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read(1) == b""
        return True

    def close(self) -> None:
        """Closes it."""
        self.writer.close()


async def ask(port: int, request: bytes, *, source: str = "127.0.0.1", to_head: bool = False) -> Message:
    """One request on a connection of its own, and its answer."""
    client = await RawClient.connect(port, source)
    try:
        await client.send(request)
        return await client.answer(to_head=to_head)
    finally:
        client.close()


@dataclass
class Call:
    """One request at the app: what came, and the connection it came on.

    Attributes:
        connection: Counts the app's connections from 1.
    """

    request: Message
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connection: int

    async def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()


class CloseConnection(Exception):  # noqa: N818 - an instruction, not an error
    """Raised by an answer: the app closes this connection, without having said so."""


Answer = Callable[[Call], Awaitable[None]]


class LoopbackServer:
    """A TCP server on the loopback that ends as a killed container does. Subclasses answer in `handle`."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def endpoint(self, *, healthy: bool = True) -> Endpoint:
        """It, as the controller names it."""
        return Endpoint("127.0.0.1", self.port, healthy)

    async def start(self) -> Self:
        """Listens on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LIMIT_BYTES, backlog=4096)
        return self

    async def stop(self) -> None:
        """Stops at once and closes what is open. Idempotent."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers requests on one connection until it ends."""
        raise NotImplementedError

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self.handle(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, CloseConnection):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


class RawApp(LoopbackServer):
    """An app that reads requests bare and answers with what `on` has set for their path, else by `200 ok`.

    Attributes:
        requests: All that came, in order of arrival; bodies are complete once the answer was made.
        connections: How many were opened to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Message] = []
        self.connections = 0
        self._answers: dict[bytes, Answer] = {}
        self._early: set[bytes] = set()

    def on(self, path: str, answer: bytes | Answer, *, early: bool = False) -> None:
        """Answers a path (compared without its query); `early`: before the body of the request is read."""
        name = path.encode()
        self._answers[name] = answer if callable(answer) else _sending(answer)
        if early:
            self._early.add(name)

    @property
    def last(self) -> Message:
        """The request that came last."""
        return self.requests[-1]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """See `LoopbackServer`."""
        self.connections += 1
        number = self.connections
        while True:
            request = await read_head(reader)
            self.requests.append(request)
            path = request.start.split(b" ")[1].partition(b"?")[0]
            if path not in self._early:
                await read_body(reader, request, until_close=False)
            await self._answers.get(path, _OK)(Call(request, reader, writer, number))


def _sending(data: bytes) -> Answer:
    async def answer(call: Call) -> None:
        await call.send(data)

    return answer


_OK = _sending(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@dataclass
class Raw:
    """A served app with its bare client.

    Attributes:
        port: Of the ingress.
    """

    HOST = "app.sealift.localhost"

    port: int
    app: RawApp

    async def ask(
        self,
        path: str = "/",
        *headers: bytes,
        method: str = "GET",
        body: bytes = b"",
        version: str = "1.1",
        host: str | None = HOST,
        source: str = "127.0.0.1",
    ) -> Message:
        """One request on a connection of its own; `headers` are whole lines, and what frames the body is among them."""
        lines = [f"{method} {path} HTTP/{version}".encode(), *([f"Host: {host}".encode()] if host else []), *headers]
        request = b"\r\n".join(lines) + b"\r\n\r\n" + body
        return await ask(self.port, request, source=source, to_head=method == "HEAD")

    async def connect(self) -> RawClient:
        """A connection to the ingress."""
        return await RawClient.connect(self.port)

    def request(self, path: str, *headers: bytes, method: str = "GET") -> bytes:
        """The head of a request, for `RawClient.send`."""
        lines = [f"{method} {path} HTTP/1.1".encode(), f"Host: {self.HOST}".encode(), *headers]
        return b"\r\n".join(lines) + b"\r\n\r\n"


@contextlib.asynccontextmanager
async def raw_app() -> AsyncIterator[RawApp]:
    """A running app; ends it."""
    app = await RawApp().start()
    try:
        yield app
    finally:
        await app.stop()
