"""The way to a registry: whom to trust, what is this machine itself, and why a connection failed."""

import ssl
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp

from pkg.config.sections import is_loopback_host
from pkg.registry.errors import RegistryProblem

# How a server without TLS looks to a client with it; the words are OpenSSL's.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "PACKET_LENGTH")


def is_loopback(host: str) -> bool:
    """Whether a registry's host, with its port or without, is this machine itself."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return is_loopback_host(name)


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """What this machine trusts, and the authorities in `ca_file` (PEM). Reads the file.

    Raises:
        OSError: the file can't be read, or has no certificates (ssl.SSLError).
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def problem_of(error: BaseException) -> RegistryProblem:
    """What a failed connection means."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return RegistryProblem.UNRESOLVED
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return RegistryProblem.UNTRUSTED
    if isinstance(error, aiohttp.ClientSSLError):
        is_plain = any(word in str(error) for word in _NO_TLS)
        return RegistryProblem.PLAIN_HTTP if is_plain else RegistryProblem.UNTRUSTED
    return RegistryProblem.UNREACHABLE


def reason_of(error: BaseException, timeout_s: float) -> str:
    """The same in words for the end of a message; `timeout_s` is what the request had."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:.0f} s"
    return str(error) or type(error).__name__


def joined(base: str, where: str) -> str:
    """The URL behind a link that a registry sent; "" for what is none."""
    try:
        return urljoin(base, where)
    except ValueError:
        return ""


def origin_of(url: str) -> tuple[str, str]:
    """Scheme, and host with its port; ("", "") for what is no URL of a server, or has a login in it."""
    try:
        parts = urlsplit(url)
        is_server = bool(parts.hostname) and "@" not in parts.netloc and (parts.port is None or parts.port > 0)
    except ValueError:
        return "", ""
    return (parts.scheme, parts.netloc.lower()) if is_server and parts.scheme in ("http", "https") else ("", "")


def may_follow(before: str, to: str) -> bool:
    """Whether a redirect is followed: blobs may be elsewhere, but not where TLS ends, as at a cloud's metadata."""
    scheme, host = origin_of(to)
    return bool(host) and (scheme == "https" or (scheme == "http" and origin_of(before)[0] == "http"))
