"""A listener for aiohttp's server that bounds connections before authentication.

asyncio's own loop of accepts has no bound, and on a process without file descriptors it logs and re-arms itself once
for each place of the backlog, every second: thousands of lines, and no connection is served. Here each one is taken
by itself; over a limit it is answered 503 and closed; without descriptors the loop pauses and logs that once.
"""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import socket
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

log = logging.getLogger(__name__)

# For web.AppRunner: between two requests of a connection.
KEEP_ALIVE: Mapping[str, Any] = {"keepalive_timeout": 30.0}
SWEEP_EVERY_S = 1.0
SAY_EVERY_S = 60.0
_PAUSE_S = 0.25
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_FULL_TEXT = b"Too many connections are open here: try again.\n"
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_FULL_TEXT), _FULL_TEXT)
)


@dataclass(frozen=True)
class Limits:
    """What strangers may hold.

    Attributes:
        connections: at once.
        per_peer: of one IPv4 address or IPv6 /64 at once. A proxy in front is one peer.
        head_s: from the connection to the end of its first request's head.
        unacknowledged_s: how long a peer may leave what was sent to it unread, or be gone without a word.
    """

    connections: int = 1024
    per_peer: int = 256
    head_s: float = 10.0
    unacknowledged_s: float = 60.0


@dataclass(eq=False)
class _Connection:
    transport: asyncio.Transport
    peer: str
    since: float
    has_asked: bool = False
    closing_since: float | None = None

    @property
    def is_gone(self) -> bool:
        return bool(self.transport.get_extra_info("socket").fileno() < 0)


@dataclass
class Listener:
    """Takes the connections of `sock` for an aiohttp server. Give the application `middleware`, then `serve`.

    Attributes:
        name: in the log.
        refused: what was turned away since the start, by reason: connections ("limit", "peer", "head") and requests
            ("malformed").
        on_refused: receives the reason of each, for metrics.
    """

    name: str
    sock: socket.socket
    limits: Limits = field(default_factory=Limits)
    refused: Counter[str] = field(default_factory=Counter)
    on_refused: Callable[[str], object] = lambda _reason: None
    _open: dict[asyncio.BaseTransport, _Connection] = field(default_factory=dict)
    _peers: Counter[str] = field(default_factory=Counter)
    _said_at: dict[str, float] = field(default_factory=dict)

    @web.middleware
    async def _seen(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        found = self._open.get(request.transport) if request.transport is not None else None
        if found is not None:
            found.has_asked = True
        return await handler(request)

    @property
    def middleware(self) -> Any:
        """Notes that a connection has sent a request."""
        return self._seen

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """For `web.AppRunner`: what is not HTTP is counted and logged without its content."""
        return _ServerLog(self)

    def malformed(self, error: HttpProcessingError | web.RequestPayloadError) -> None:
        """A request that is no HTTP was answered 400, or what followed of one that was answered can't be read."""
        self._count("malformed")
        self._say("malformed", "%s was sent what is no HTTP request: %s", type(error).__name__)

    def _count(self, reason: str) -> None:
        self.refused[reason] += 1
        self.on_refused(reason)

    async def serve(self, server: Callable[[], asyncio.Protocol]) -> None:
        """Until cancelled. `server` is `web.AppRunner.server`; connections that are open then belong to it."""
        self.sock.setblocking(False)
        loop = asyncio.get_running_loop()
        sweeper = asyncio.create_task(self._sweep_forever(), name=f"{self.name}-sweep")
        try:
            while True:
                try:
                    taken, address = await loop.sock_accept(self.sock)
                except OSError as error:
                    if error.errno in _EXHAUSTED:
                        self._say("exhausted", "%s takes no connection: %s; it continues when there is room", error)
                    # else: the peer left before it was taken
                    await asyncio.sleep(_PAUSE_S)
                    continue
                await self._take(server, taken, address)
        finally:
            sweeper.cancel()
            self.sock.close()

    async def _take(self, server: Callable[[], asyncio.Protocol], taken: socket.socket, address: Any) -> None:
        loop = asyncio.get_running_loop()
        peer = _peer_of(address)
        if len(self._open) >= self.limits.connections or self._peers[peer] >= self.limits.per_peer:
            self.sweep()
        reason = (
            "limit" if len(self._open) >= self.limits.connections
            else "peer" if self._peers[peer] >= self.limits.per_peer else ""
        )  # fmt: skip
        if reason:
            self._refuse(reason, taken)
            return
        try:
            taken.setblocking(False)
            if taken.family != socket.AF_UNIX:
                taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self.limits.unacknowledged_s * 1000))
            transport, _ = await loop.connect_accepted_socket(server, taken)
        except OSError:
            taken.close()
            return
        self._open[transport] = _Connection(transport, peer, loop.time())
        self._peers[peer] += 1

    def _refuse(self, reason: str, taken: socket.socket) -> None:
        self._count(reason)
        self._say(reason, "%s turns connections away: the limit of %s is reached", {
            "limit": f"{self.limits.connections} connections", "peer": f"{self.limits.per_peer} of one peer",
        }[reason])  # fmt: skip
        with contextlib.suppress(OSError):
            taken.setblocking(False)
            taken.send(_FULL)
            taken.shutdown(socket.SHUT_WR)
        taken.close()

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            self.sweep()

    def sweep(self) -> None:
        """Forgets connections that are gone, and ends those that never ask or never finish closing."""
        now = asyncio.get_running_loop().time()
        for one in list(self._open.values()):
            if one.is_gone:
                del self._open[one.transport]
                self._peers[one.peer] -= 1
                if self._peers[one.peer] <= 0:
                    del self._peers[one.peer]
            elif one.transport.is_closing():
                one.closing_since = one.closing_since or now
                if now - one.closing_since > self.limits.head_s:
                    one.transport.abort()
            elif not one.has_asked and now - one.since > self.limits.head_s:
                self._count("head")
                self._say("head", "%s ends connections that send no request within %s s", self.limits.head_s)
                one.transport.abort()

    def _say(self, what: str, text: str, value: object) -> None:
        """Logs once a minute at most: a flood of connections must not flood the log, too."""
        now = asyncio.get_running_loop().time()
        if now - self._said_at.get(what, float("-inf")) >= SAY_EVERY_S:
            self._said_at[what] = now
            log.warning(text, self.name, value)


class _ServerLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp would write a traceback with the bytes of each such request, which may hold a key."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(logging.getLogger("aiohttp.server"), {})
        self._listener = listener

    def exception(self, msg: object, *args: object, exc_info: Any = True, **kwargs: Any) -> None:
        error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            self._listener.malformed(error)
        else:
            super().exception(msg, *args, exc_info=exc_info, **kwargs)


def _peer_of(address: Any) -> str:
    if not isinstance(address, tuple):
        return "unix"
    found = ipaddress.ip_address(str(address[0]).partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
