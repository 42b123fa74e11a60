"""Sends one request and reads the whole answer."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

ANSWER_MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """Status and complete body."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises ValueError when it is not."""
        return json.loads(self.body)


async def request(
    address: str, path: str, *, method: str = "GET", body: bytes = b"", content_type: str = "", bearer: str = "",
    accept: str = "", timeout_s: float = 5.0, max_bytes: int = ANSWER_MAX_BYTES,
) -> Answer:  # fmt: skip
    """Ask once and close.

    Args:
        address: `unix:///path/of.sock` or `host:port` with a literal address.
        path: with the query, already quoted.
        method: of HTTP.
        body: sent with its length.
        content_type: of the body; "" sends none.
        bearer: a key for the Authorization header; "" sends none.
        accept: the requested content type; "" leaves it open.
        timeout_s: for the whole exchange.
        max_bytes: of the answer's body; what comes after them is cut off.

    Raises:
        OSError: nothing answers there, or not in time (TimeoutError), or not in HTTP.
    """
    async with asyncio.timeout(timeout_s):
        reader, writer = await _connect(address)
        try:
            head = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
            if body or method == "POST":
                head.append(f"Content-Length: {len(body)}")
            if content_type:
                head.append(f"Content-Type: {content_type}")
            if accept:
                head.append(f"Accept: {accept}")
            if bearer:
                head.append(f"Authorization: Bearer {bearer}")
            writer.write("\r\n".join([*head, "", ""]).encode() + body)
            await writer.drain()
            return await _read(reader, max_bytes)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as error:
            raise OSError(f"{address} did not answer in HTTP: {error}") from error
        finally:
            await _drop(writer)


async def answers(address: str, path: str, *, timeout_s: float = 2.0) -> bool:
    """Whether a GET is answered with 2xx in time."""
    try:
        answer = await request(address, path, timeout_s=timeout_s)
    except OSError:
        return False
    return 200 <= answer.status < 300


async def reacts(address: str, path: str, *, timeout_s: float) -> bool:
    """Whether something happens within the time: any answer, a refusal, or a cut connection.

    False is silence: the sign of a process that is stopped or hangs.
    """
    try:
        await request(address, path, timeout_s=timeout_s)
    except (TimeoutError, BlockingIOError):  # the latter: nobody takes connections off a unix socket's full backlog
        return False
    except OSError:
        return True
    return True


async def accepts(address: str, *, timeout_s: float = 1.0) -> bool:
    """Whether something accepts a connection at the address."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await _connect(address)
            await _drop(writer)
    except OSError:
        return False
    return True


async def _drop(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith("unix://"):
        return await asyncio.open_unix_connection(address.removeprefix("unix://"), limit=ANSWER_MAX_BYTES)
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port), limit=ANSWER_MAX_BYTES)


async def _read(reader: asyncio.StreamReader, max_bytes: int) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ", 2)[1])
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    if status == 204:
        return Answer(status, b"")
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return Answer(status, await _read_chunks(reader, max_bytes))
    if "content-length" in headers:
        return Answer(status, await reader.readexactly(min(int(headers["content-length"]), max_bytes)))
    return Answer(status, await reader.read(max_bytes))


async def _read_chunks(reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    body = bytearray()
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if size == 0 or len(body) + size > max_bytes:
            return bytes(body)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
