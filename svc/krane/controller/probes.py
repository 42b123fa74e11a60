"""Probes whether an instance is healthy, from outside of it, by HTTP or by a TCP connection.

Works for images without a shell. Often at first, so that a fast start is seen within tens of milliseconds; less often
once an app answers that it is not ready: it may log each question.
"""

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pkg.desired.protocol import AppProtocol
from sealift import __version__
from svc.krane.controller import http1_probe, http2_probe

USER_AGENT = "sealift-probe"
FIRST_INTERVAL_S = 0.01
FIRST_MAX_INTERVAL_S = 0.05
FIRST_SECONDS = 5.0
FIRST_ANSWERED_INTERVAL_S = 0.1
# A SYN that meets a bridge port which is not forwarding yet is lost and sent again only after a second (seen on half of
# all starts when asked within 20 ms); giving up sooner and trying again is faster. Each try is given twice the time of
# the one before: on a busy machine the answer itself may take so long.
FIRST_CONNECT_S = 0.03
FIRST_MAX_CONNECT_S = 0.25
CONFIRM_INTERVAL_S = 0.25  # a first failure is looked at again soon: three in a row are needed
GROWTH = 1.5
# What krane or the machine lacks itself: nothing was sent, so nothing is known.
_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}
_MAY_BLAME_THE_HOST = {400, 403, 421}  # Django, Rails, and what HTTP has for it; a web server may also say 404


@dataclass(frozen=True)
class Target:
    """What to ask: `path` "" means that a TCP connection is enough, with H2C one that begins with HTTP/2.

    `connect_s` bounds the connecting alone.

    `hosts` are what Host may say, at least one; the next one is tried when an answer may blame the host.
    """

    address: str
    port: int
    path: str
    hosts: tuple[str, ...]
    timeout_s: float
    connect_s: float
    protocol: AppProtocol = AppProtocol.HTTP1


@dataclass(frozen=True)
class ProbeResult:
    """One answer; `text` is for people, e.g. "GET / answered 500".

    Attributes:
        is_refused: Nothing listens on the port.
        is_answered: The app answered by HTTP, well or not.
        host: What Host said when the answer was good; "" otherwise.
        is_foreign: The app answers by another protocol than the ingress speaks.
        is_final: It will stay so.
        is_unasked: The probe was not sent, for lack of something on our side: the result says nothing about the app.
    """

    is_ok: bool
    text: str
    is_refused: bool = False
    is_answered: bool = False
    host: str = ""
    is_foreign: bool = False
    is_final: bool = False
    is_unasked: bool = False


async def probe(target: Target) -> ProbeResult:
    """Probes once, at most `target.timeout_s` seconds. Never raises for what the app does."""
    try:
        async with asyncio.timeout(target.timeout_s):
            if target.protocol is AppProtocol.H2C:
                return await _http2(target)
            return await (_http1(target) if target.path else _tcp(target))
    except TimeoutError:
        return _too_slow(target)
    except OSError as error:
        return _unreachable(error, target.port)


async def _http1(target: Target) -> ProbeResult:
    try:
        return await _judged(target, _http1_status)
    except _UnconnectedError:
        return _no_connection(target)
    except http1_probe.NotHttpError:
        return ProbeResult(False, f"GET {target.path}: the answer is not HTTP")
    except http1_probe.NoAnswerError as error:
        return ProbeResult(False, f"GET {target.path}: the app {error}")


async def _http1_status(target: Target, host: str) -> int:
    agent = f"{USER_AGENT}/{__version__}"
    async with _connected(target) as (reader, writer):
        try:
            return await http1_probe.ask(reader, writer, host=host, path=target.path, user_agent=agent)
        except ConnectionError:
            raise http1_probe.NoAnswerError from None


async def _tcp(target: Target) -> ProbeResult:
    try:
        async with _connected(target):
            return ProbeResult(True, f"port {target.port} accepts connections")
    except _UnconnectedError:
        return _no_connection(target)


async def _http2(target: Target) -> ProbeResult:
    try:
        if not target.path:
            return await _greeted(target)
        if target.path == http2_probe.GRPC_HEALTH_PATH:
            return await _grpc_health(target)
        return await _judged(target, _http2_status)
    except _UnconnectedError:
        return _no_connection(target)
    except http2_probe.NotHttp2Error:
        text = f"port {target.port} takes connections, but does not speak HTTP/2 without TLS"
        return ProbeResult(False, text, is_foreign=True)
    except http2_probe.NoAnswerError as error:
        return ProbeResult(False, f"{target.path or f'port {target.port}'}: the app {error}")


async def _judged(target: Target, status_of: Callable[[Target, str], Awaitable[int]]) -> ProbeResult:
    """Whether one of the hosts gets a status that is healthy."""
    answered = f"GET {target.path} answered"
    status = 0
    for host in target.hosts:
        status = await status_of(target, host)
        if 200 <= status < 400:
            return ProbeResult(True, f"{answered} {status}", is_answered=True, host=host)
        if status not in _MAY_BLAME_THE_HOST and status != 404:
            break
    asked_as = f" to Host {' and '.join(target.hosts)}" if status in _MAY_BLAME_THE_HOST else ""
    return ProbeResult(False, f"{answered} {status}{asked_as}; 200 to 399 would be healthy", is_answered=True)


class _UnconnectedError(Exception):
    pass


@asynccontextmanager
async def _connected(target: Target) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    try:
        async with asyncio.timeout(target.connect_s):
            reader, writer = await asyncio.open_connection(target.address, target.port)
    except TimeoutError:
        raise _UnconnectedError from None
    try:
        yield reader, writer
    finally:
        writer.close()


async def _greeted(target: Target) -> ProbeResult:
    async with _connected(target) as (reader, writer):
        try:
            await http2_probe.greet(reader, writer)
        except ConnectionError:  # what expects something else than HTTP/2 may end the connection so
            raise http2_probe.NotHttp2Error from None
    return ProbeResult(True, f"port {target.port} speaks HTTP/2")


async def _http2_answer(target: Target, host: str) -> http2_probe.Answer:
    agent = f"{USER_AGENT}/{__version__}"
    async with _connected(target) as (reader, writer):
        try:
            return await http2_probe.ask(reader, writer, host=host, path=target.path, user_agent=agent)
        except ConnectionError:
            raise http2_probe.NoAnswerError from None


async def _http2_status(target: Target, host: str) -> int:
    return (await _http2_answer(target, host)).status


async def _grpc_health(target: Target) -> ProbeResult:
    health = (await _http2_answer(target, target.hosts[0])).grpc_health
    if health == "SERVING":
        return ProbeResult(True, f"{target.path} answered SERVING", is_answered=True, host=target.hosts[0])
    return ProbeResult(False, f"{target.path} answered {health}; SERVING would be healthy", is_answered=True)


def _too_slow(target: Target) -> ProbeResult:
    asked = f"GET {target.path}" if target.path else f"connection to port {target.port}"
    return ProbeResult(False, f"{asked}: no answer within {target.timeout_s * 1000:.0f} ms")


def _no_connection(target: Target) -> ProbeResult:
    return ProbeResult(False, f"port {target.port}: no connection within {target.connect_s * 1000:.0f} ms")


def _unreachable(error: OSError, port: int) -> ProbeResult:
    if error.errno == errno.ECONNREFUSED:
        return ProbeResult(False, f"connection refused on port {port}", is_refused=True)
    if error.errno in _OURS:
        return ProbeResult(False, f"port {port} could not be probed: {error.strerror}", is_unasked=True)
    return ProbeResult(False, f"port {port} cannot be reached ({error.strerror or type(error).__name__})")


class Schedule:
    """When to ask next. Pure but for the clock passed in (seconds, monotonic)."""

    def __init__(self, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._began = clock()
        self._delay_s = FIRST_INTERVAL_S
        self._answered_delay_s = FIRST_ANSWERED_INTERVAL_S
        self._connect_s = FIRST_CONNECT_S

    def connect_s(self, timeout_s: float) -> float:
        """How long the next probe may take to connect, within its own timeout."""
        return timeout_s if self._is_past_first else min(self._connect_s, timeout_s)

    def next_s(self, was_healthy: bool, result: ProbeResult) -> float:
        """Seconds until the next probe, after one with this result."""
        if result.is_ok:
            return self._interval_s
        if was_healthy:
            return min(self._interval_s, CONFIRM_INTERVAL_S)
        if result.is_answered:
            delay_s = min(self._interval_s, self._answered_delay_s)
            self._answered_delay_s *= GROWTH
            return delay_s
        delay_s = min(self._interval_s, self._delay_s)
        longest_s = self._interval_s if self._is_past_first else FIRST_MAX_INTERVAL_S
        self._delay_s = min(longest_s, self._delay_s * GROWTH)
        self._connect_s = min(FIRST_MAX_CONNECT_S, self._connect_s * 2)
        return delay_s

    @property
    def _is_past_first(self) -> bool:
        return self._clock() - self._began >= FIRST_SECONDS
