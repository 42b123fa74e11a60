"""What the ingress speaks to an app. Pure."""

from enum import StrEnum


class AppProtocol(StrEnum):
    """The protocol of requests to an app, always without TLS."""

    HTTP1 = "http1"
    H2C = "h2c"  # HTTP/2 by prior knowledge, as gRPC servers without TLS speak it
