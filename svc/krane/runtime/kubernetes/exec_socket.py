"""The connection of one command in a Pod: a WebSocket of the subprotocol v4.channel.k8s.io, through the API server."""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx2
import msgspec
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError as LoginError

from pkg.errors import Unavailable
from svc.krane.runtime.execs import PIECE_BYTES

PROTOCOL = "v4.channel.k8s.io"
CONNECT_TIMEOUT_S = 15.0
MAX_MESSAGE_BYTES = 4 << 20
UNAVAILABLE = "kubernetes.unavailable"
STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)


class RefusedError(Exception):
    """The API server did not begin the command. `code`: the HTTP status."""

    def __init__(self, code: int) -> None:
        super().__init__(f"HTTP {code}")
        self.code = code


@dataclass(frozen=True)
class SocketEnd:
    """How a connection ended.

    Attributes:
        exit_code: of the command; None: it was not said.
        said: by the node, of a command that could not be executed; "".
    """

    exit_code: int | None = None
    said: str = ""


class ExecSocket:
    """One connection. `read` is for one task; what sends may be used by several."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._rest: list[tuple[int, bytes]] = []
        self._end: SocketEnd | None = None

    async def read(self) -> tuple[int, bytes] | SocketEnd:
        """Channel and bytes, at most 64 KiB; then, each time, the end."""
        while not self._rest:
            if self._end is not None:
                return self._end
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                self._end = SocketEnd()
            elif message.data[:1] == bytes([ERROR]):
                self._end = _end(message.data[1:])
            elif len(message.data) > 1:
                channel, data = message.data[0], message.data[1:]
                self._rest = [(channel, data[at : at + PIECE_BYTES]) for at in range(0, len(data), PIECE_BYTES)]
        return self._rest.pop(0)

    async def write(self, data: bytes) -> None:
        """To stdin. What nobody takes any more is dropped."""
        await self._send(STDIN, data)

    async def resize(self, columns: int, rows: int) -> None:
        """The terminal's size."""
        await self._send(RESIZE, json.dumps({"Width": columns, "Height": rows}).encode())

    async def close(self) -> None:
        """Idempotent. The command reads the end of its stdin, and may go on."""
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            await self._socket.close()

    async def _send(self, channel: int, data: bytes) -> None:
        with contextlib.suppress(aiohttp.ClientError, OSError):
            await self._socket.send_bytes(bytes([channel]) + data)


class ExecSockets:
    """Opens connections with krane's login. Must be made inside a running loop."""

    def __init__(self, config: SingleConfig) -> None:
        self._config = config
        self._session: aiohttp.ClientSession | None = None
        self._verify: Any = None

    async def close(self) -> None:
        """Ends all connections. Idempotent."""
        if self._session is not None:
            await self._session.close()

    async def open(
        self, pod: str, namespace: str, container: str, command: Sequence[str], *, stdin: bool, tty: bool
    ) -> ExecSocket:
        """Begins a command. Raises RefusedError, Unavailable."""
        session = await self._opened()
        server = httpx2.URL(self._config.cluster.server)
        flags = {"stdin": stdin, "stdout": True, "stderr": not tty, "tty": tty}
        params = [("container", container), *(("command", word) for word in command)]
        params += [(name, "true" if value else "false") for name, value in flags.items()]
        url = f"{str(server).rstrip('/')}/api/v1/namespaces/{namespace}/pods/{pod}/exec"
        try:
            headers = await self._login()
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                socket = await session.ws_connect(
                    url,
                    params=params,
                    headers=headers,
                    protocols=(PROTOCOL,),
                    ssl=self._verify,
                    max_msg_size=MAX_MESSAGE_BYTES,
                    autoping=True,
                    compress=0,
                )
        except aiohttp.WSServerHandshakeError as error:
            raise RefusedError(error.status) from error
        except (aiohttp.ClientError, OSError, TimeoutError, LoginError, RuntimeError) as error:
            why = f"{type(error).__name__}: {error}".rstrip(": ")
            raise Unavailable(UNAVAILABLE, f"the API server does not answer: {why}") from error
        return ExecSocket(socket)

    async def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            parameters = client_adapter.ConnectionParams()
            self._verify = parameters.httpx_params(self._config)["verify"]
            self._session = aiohttp.ClientSession(trust_env=True)
        return self._session

    async def _login(self) -> Mapping[str, str]:
        """The header of krane's login, made anew each time: tokens are renewed."""
        auth = None if self._config.user is None else client_adapter.user_auth(self._config.user)
        if auth is None:
            return {}
        flow = auth.async_auth_flow(httpx2.Request("GET", self._config.cluster.server))
        try:
            request = await anext(flow)
        finally:
            await flow.aclose()
        return {"Authorization": request.headers["Authorization"]} if "Authorization" in request.headers else {}


def _end(data: bytes) -> SocketEnd:
    """From the Status that the node sends last."""
    try:
        status = msgspec.json.decode(data)
        if status.get("status") == "Success":
            return SocketEnd(0)
        for cause in (status.get("details") or {}).get("causes") or ():
            if cause.get("reason") == "ExitCode":
                return SocketEnd(int(cause["message"]))
        return SocketEnd(None, str(status.get("message", "")))
    except (msgspec.MsgspecError, ValueError, AttributeError, KeyError):
        return SocketEnd(None, data[:500].decode(errors="replace"))
