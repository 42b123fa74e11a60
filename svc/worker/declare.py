"""How handlers are declared: protobuf in, protobuf out."""

from typing import Any

from google.protobuf.message import Message

from pkg.restate import CONTENT_TYPE
from pkg.restate.serde import ProtoSerde


def messages(request: type[Message], reply: type[Message]) -> dict[str, Any]:
    """The arguments of a handler's declaration for these message types. No body is the empty message."""
    return {
        "accept": CONTENT_TYPE,
        "content_type": CONTENT_TYPE,
        "input_serde": ProtoSerde(request),
        "output_serde": ProtoSerde(reply),
    }
