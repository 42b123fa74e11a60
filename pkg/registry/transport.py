"""The way to a registry: whom to trust, what is this machine itself, and why a connection failed."""

import ssl
from pathlib import Path

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
