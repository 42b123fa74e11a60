"""Detects the protocol of a port: one HTTP/1.1 request from outside the instance, then TLS and HTTP/2."""

import asyncio
import ssl
import time

from pkg.desired.protocol import AppProtocol
from svc.krane.controller.port_choice import Answer, PortProtocol
from svc.krane.controller.probes import Target, probe

_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # RFC 9113, 3.4; an empty SETTINGS frame
_SETTINGS, _GOAWAY = 4, 7
_ALERT, _HANDSHAKE = 0x15, 0x16  # content types of RFC 8446, 5.1
_BAD_REQUEST = 400
# What a TLS library says of an answer that is no TLS.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "UNEXPECTED_EOF", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


async def ask(
    address: str, port: int, *, host: str, path: str, user_agent: str, timeout_s: float, is_plain: bool = False
) -> Answer:
    """What the port answers; takes at most three times `timeout_s`. Never raises for what the app does.

    Args:
        address: of the instance.
        port: to ask.
        host: for the Host header.
        path: of the health check; "" when there is none: then any answer in HTTP is a healthy one.
        user_agent: for the header.
        timeout_s: for each of the at most three connections.
        is_plain: known of an earlier answer: TLS and HTTP/2 are not tried.
    """
    asked = path or "/"
    first = await _exchange(address, port, _request(asked, host, user_agent), timeout_s)
    if first is None:
        return Answer(PortProtocol.CLOSED, text=f"port {port} cannot be reached")
    status = _status(first)
    if status == _BAD_REQUEST and not is_plain:
        speaks_tls = await _speaks_tls(address, port, host, timeout_s)
        if speaks_tls:
            return Answer(PortProtocol.TLS)
        is_plain = speaks_tls is False
    if status:
        is_healthy = 200 <= status < 400 if path else True
        return Answer(PortProtocol.HTTP, is_healthy, f"GET {asked} answered {status}", is_plain)
    if first[:1] == bytes([_ALERT]) or first[:1] == bytes([_HANDSHAKE]):
        return Answer(PortProtocol.TLS)
    if _is_http2(first):
        return Answer(PortProtocol.HTTP2)
    if first:
        return Answer(PortProtocol.OTHER)
    silent = f"GET {asked} was not answered"
    if is_plain:
        return Answer(PortProtocol.SILENT, text=silent, is_plain=True)
    return await _other_protocol(address, port, host, timeout_s, silent)


async def ask_http2(address: str, port: int, *, hosts: tuple[str, ...], path: str, timeout_s: float) -> Answer:
    """What a port answers that should speak HTTP/2 without TLS; takes at most twice `timeout_s`. Never raises.

    `path` is that of the health check; "" when there is none: then HTTP/2 of any kind is healthy.
    """
    first = await _exchange(address, port, _HTTP2_PREFACE, timeout_s)
    if first is None:
        return Answer(PortProtocol.CLOSED, text=f"port {port} cannot be reached")
    if _is_http2(first):
        if not path:
            return Answer(PortProtocol.HTTP2, is_healthy=True)
        target = Target(address, port, path, hosts, timeout_s, timeout_s, AppProtocol.H2C)
        result = await probe(target)
        return Answer(PortProtocol.HTTP2, result.is_ok, result.text)
    if first.startswith(b"HTTP/"):
        return Answer(PortProtocol.HTTP)
    if first[:1] in (bytes([_ALERT]), bytes([_HANDSHAKE])):
        return Answer(PortProtocol.TLS)
    if first:
        return Answer(PortProtocol.OTHER)
    return Answer(PortProtocol.SILENT, text=f"port {port} did not begin with HTTP/2")


async def _other_protocol(address: str, port: int, host: str, timeout_s: float, silent: str) -> Answer:
    """What a port speaks that does not answer HTTP/1.1; `silent` is the text when nothing answers."""
    speaks_tls = await _speaks_tls(address, port, host, timeout_s)
    if speaks_tls:
        return Answer(PortProtocol.TLS)
    first = await _exchange(address, port, _HTTP2_PREFACE, timeout_s)
    if _is_http2(first or b""):
        return Answer(PortProtocol.HTTP2)
    return Answer(PortProtocol.SILENT, text=silent, is_plain=speaks_tls is False and bool(first))


async def may_be_http(address: str, port: int, host: str, user_agent: str, timeout_s: float) -> bool:
    """Whether nothing speaks against HTTP/1.1 within `timeout_s`: an answer in it, or none yet. Never raises.

    When False, `ask` finds the protocol.
    """
    began = time.monotonic()
    first = await _exchange(address, port, _request("/", host, user_agent), timeout_s)
    if first:
        return _status(first) not in (0, _BAD_REQUEST)
    return time.monotonic() - began >= timeout_s  # an end without an answer is one, too


def _request(path: str, host: str, user_agent: str) -> bytes:
    text = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {user_agent}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
    return text.encode("utf-8", "replace")


async def _exchange(address: str, port: int, request: bytes, timeout_s: float) -> bytes | None:
    """The first bytes that come back; b"" when none do in time; None without a connection."""
    writer = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(request)
            await writer.drain()
            got = b""
            while len(got) < len(b"HTTP/1.1 200"):
                more = await reader.read(64)
                if not more:
                    break
                got += more
            return got
    except TimeoutError:
        return None if writer is None else b""
    except OSError:
        return None if writer is None else b""
    finally:
        if writer is not None:
            writer.transport.abort()


async def _speaks_tls(address: str, port: int, host: str, timeout_s: float) -> bool | None:
    """None: it did not answer."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # who it is does not matter; what it speaks does
    writer = None
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=host)
    except ssl.SSLError as error:
        return not any(word in (error.reason or "").replace(" ", "_") for word in _NOT_TLS)
    except (OSError, TimeoutError, ValueError):
        return None
    finally:
        if writer is not None:
            writer.transport.abort()
    return True


def _status(first: bytes) -> int:
    """The status of an HTTP/1 answer; 0 when it is none."""
    version, _, rest = first.partition(b" ")
    return int(rest[:3]) if version in (b"HTTP/1.1", b"HTTP/1.0") and rest[:3].isdigit() else 0


def _is_http2(first: bytes) -> bool:
    """Whether it begins with a frame of the connection itself: nine bytes, type SETTINGS or GOAWAY, stream 0."""
    return len(first) >= 9 and first[3] in (_SETTINGS, _GOAWAY) and first[5:9] == b"\0\0\0\0"
