"""Opens gRPC channels. The only module that does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sealift.client.credentials import Endpoint
from sealift.client.proxy import Proxy
from sealift.client.trust import trusted_certificates

if TYPE_CHECKING:
    import grpc

MAX_MESSAGE_BYTES = 16 << 20
_GRPC_EXEMPTIONS = "no_grpc_proxy"

# Short reconnect backoff: `retry` decides when to give up, not gRPC.
_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_retries", 0),
    # A connection that died without a word ends with its calls, which are then repeated or resumed.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


def open_channel(endpoint: Endpoint, proxy: Proxy | None = None) -> "grpc.aio.Channel":
    """A channel that connects on the first call.

    Args:
        endpoint: URL and key.
        proxy: HTTP proxy to use; gRPC's own proxy detection is off.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's log lines would mix with the output on stderr
    import grpc

    address = endpoint.address
    options = [*_OPTIONS, ("grpc.primary_user_agent", _user_agent())]
    options.append(("grpc.http_proxy", proxy.url) if proxy else ("grpc.enable_http_proxy", 0))
    with _without_exemptions():
        if address.connect_host != address.host:
            options.append(("grpc.default_authority", f"{address.host}:{address.port}"))
        if not address.is_tls:
            return grpc.aio.insecure_channel(endpoint.target, options)
        if address.connect_host != address.host:
            options.append(("grpc.ssl_target_name_override", address.host))
        roots = trusted_certificates(endpoint.ca_certificates).encode("ascii")
        return grpc.aio.secure_channel(endpoint.target, grpc.ssl_channel_credentials(roots), options)


@contextmanager
def _without_exemptions() -> Iterator[None]:
    """Hide `no_grpc_proxy` while a channel is created: gRPC would apply it to the given proxy as well."""
    before = os.environ.get(_GRPC_EXEMPTIONS)
    os.environ[_GRPC_EXEMPTIONS] = ""
    try:
        yield
    finally:
        if before is None:
            del os.environ[_GRPC_EXEMPTIONS]
        else:
            os.environ[_GRPC_EXEMPTIONS] = before


def _user_agent() -> str:
    from sealift import __version__

    return f"sealift-python/{__version__}"
