"""What an app speaks, as people write it."""

from sealift.ctrl.v1 import common_pb2

PROTOCOLS = {"http1": common_pb2.APP_PROTOCOL_HTTP1, "h2c": common_pb2.APP_PROTOCOL_H2C}


def protocol_text(settings: common_pb2.RuntimeSettings) -> str:
    """The protocol of the settings; that of an older server, too."""
    return next((name for name, number in PROTOCOLS.items() if number == settings.protocol), "http1")
