"""An HTTP proxy for tests: CONNECT over real sockets; records the requested targets."""

import asyncio
import contextlib
from base64 import b64encode
from typing import Self


class ConnectProxy:
    """Connects every CONNECT to one server, so that the requested hosts need not exist.

    Attributes:
        asked: targets of the CONNECT requests, e.g. "deploy.example:7400".
        first_bytes: what each client sent first through its tunnel.
        login: "user:password" that is asked for, "" for none.
        refuse: answer 403.
        url: its address, once entered.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.asked: list[str] = []
        self.first_bytes: list[bytes] = []
        self.login = ""
        self.refuse = False
        self.url = ""
        self._leads_to = (host, port)
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split(" ", 2)
            self.asked.append(target)
            wanted = f"Basic {b64encode(self.login.encode()).decode()}" if self.login else ""
            if method != "CONNECT" or self.refuse or wanted not in head:
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            else:
                there, back = await asyncio.open_connection(*self._leads_to)
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await writer.drain()
                first = await reader.read(64 << 10)
                self.first_bytes.append(first)
                back.write(first)
                await asyncio.gather(_copy(reader, back), _copy(there, writer))
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(64 << 10):
            writer.write(chunk)
            await writer.drain()
    writer.close()
