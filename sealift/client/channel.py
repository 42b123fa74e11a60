"""One gRPC channel to a server, with the key on every call. The only module that builds channels."""

import os
from typing import TYPE_CHECKING, Any

from sealift.client.credentials import Endpoint

if TYPE_CHECKING:
    import grpc

MAX_MESSAGE_BYTES = 16 << 20

# One connection attempt per fraction of a second: our own retries decide when to give up, not gRPC's backoff.
_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_retries", 0),
)


def open_channel(endpoint: Endpoint) -> "grpc.aio.Channel":
    """A lazily connecting channel: nothing is sent before the first call."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its log lines would mix with ours on stderr
    import grpc

    options = [*_OPTIONS, ("grpc.primary_user_agent", _user_agent())]
    if endpoint.is_local:
        options.append(("grpc.enable_http_proxy", 0))  # a proxy can't reach this machine's loopback
    if not endpoint.is_tls:
        return grpc.aio.insecure_channel(endpoint.target, options)
    if endpoint.target != f"{endpoint.host}:{endpoint.port}":
        options.append(("grpc.default_authority", f"{endpoint.host}:{endpoint.port}"))
        options.append(("grpc.ssl_target_name_override", endpoint.host))
    return grpc.aio.secure_channel(endpoint.target, grpc.ssl_channel_credentials(), options)


def _user_agent() -> str:
    from sealift import __version__

    return f"sealift-python/{__version__}"
