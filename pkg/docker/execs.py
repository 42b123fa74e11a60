"""Commands in containers, by the Engine API: a connection each, which becomes the command's input and output."""

import asyncio
import contextlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from pkg.errors import Unavailable

PIECE_BYTES = 64 << 10
CALL_TIMEOUT_S = 15.0
STDERR = 2
_HEAD = struct.Struct(">BxxxI")  # stream, length
_HEAD_BYTES = 8 << 10


class NoContainerError(Exception):
    """There is no such container, or it does not run. The engine's words."""


class ExecConnection:
    """The input and output of a command. `read` and `write` may be called at the same time, by one task each."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_tty: bool) -> None:
        self._reader = reader
        self._writer = writer
        self._is_tty = is_tty
        self._stream = self._left = 0

    async def read(self) -> tuple[int, bytes] | None:
        """Stream (2: stderr) and bytes, at most 64 KiB; None at the end."""
        try:
            if not self._is_tty and not self._left:
                while not self._left:
                    self._stream, self._left = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            most = PIECE_BYTES if self._is_tty else min(self._left, PIECE_BYTES)
            data = await self._reader.read(most)
        except (asyncio.IncompleteReadError, OSError):
            return None
        self._left = max(0, self._left - len(data))
        return (self._stream, data) if data else None

    async def write(self, data: bytes) -> None:
        """Waits until the engine has room; drops what nobody reads any more."""
        with contextlib.suppress(OSError):
            self._writer.write(data)
            await self._writer.drain()

    async def end_input(self) -> None:
        """The command reads the end of its input."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def close(self) -> None:
        """Idempotent. The command goes on."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class EngineExecs:
    """The calls about commands. Must be made inside a running loop. Every method raises Unavailable."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=socket_path, limit=0),
            base_url="http://engine/",
            timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S),
        )

    async def close(self) -> None:
        """Ends its connections, but not those of commands."""
        await self._session.close()

    async def create(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, environment: Mapping[str, str]
    ) -> str:
        """The id of a command that is not started yet. Raises NoContainerError."""
        answer = await self._call(
            "POST",
            f"containers/{container_id}/exec",
            body={
                "Cmd": list(command),
                "Tty": tty,
                "AttachStdin": stdin,
                "AttachStdout": True,
                "AttachStderr": True,
                "Env": [f"{name}={value}" for name, value in environment.items()],
            },
            absent=(404, 409),
        )
        return str(answer["Id"])

    async def start(self, exec_id: str, *, tty: bool) -> ExecConnection:
        """Starts it. What the engine says of one that it can't execute comes as output. Raises NoContainerError."""
        body = json.dumps({"Detach": False, "Tty": tty}).encode()
        head = (
            f"POST /exec/{exec_id}/start HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\n"
            f"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(self._socket_path, limit=PIECE_BYTES)
                try:
                    writer.write(head.encode() + body)
                    answer = await reader.readuntil(b"\r\n\r\n")
                    status = int(answer.split(b" ", 2)[1])
                    if status not in (101, 200):
                        said = (await reader.read(4096)).decode(errors="replace")
                        if status in (404, 409):
                            raise NoContainerError(said)
                        raise self._away(f"it answered {status} to the start of a command: {said[:300]}")
                except BaseException:
                    writer.transport.abort()
                    raise
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise self._away(f"start of a command: {type(error).__name__}") from error
        return ExecConnection(reader, writer, is_tty=tty)

    async def inspect(self, exec_id: str) -> dict[str, Any] | None:
        """`Running`, `ExitCode` and `Pid` (on the engine's machine); None once the container is gone."""
        try:
            return await self._call("GET", f"exec/{exec_id}/json", absent=(404, 409))
        except NoContainerError:
            return None

    async def resize(self, exec_id: str, columns: int, rows: int) -> bool:
        """False: it does not run, or not yet."""
        try:
            await self._call("POST", f"exec/{exec_id}/resize?h={rows}&w={columns}", absent=(400, 404, 409, 500))
        except NoContainerError:
            return False
        return True

    async def _call(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None, absent: Sequence[int]
    ) -> dict[str, Any]:
        try:
            async with self._session.request(method, path, json=body) as answer:
                raw = await answer.read()
                if answer.status in absent:
                    raise NoContainerError(_message(raw))
                if answer.status >= 300:
                    raise self._away(f"{path}: {_message(raw)}")
                found: dict[str, Any] = json.loads(raw) if raw.strip() else {}
                return found
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError) as error:  # the last: is closed
            raise self._away(f"{path}: {type(error).__name__}") from error

    def _away(self, why: str) -> Unavailable:
        return Unavailable("engine.unavailable", f"the Docker engine at {self._socket_path} broke off: {why}")


def _message(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return raw[:300].decode(errors="replace")
