"""How handlers are declared: protobuf in, protobuf out."""

from typing import Any

from pkg.restate import CONTENT_TYPE, Handler
from pkg.restate.serde import ProtoSerde


def declared(handler: Handler[Any, Any]) -> dict[str, Any]:
    """The arguments that declare a function as this handler. No body is the empty message."""
    return {
        "name": handler.name,
        "accept": CONTENT_TYPE,
        "content_type": CONTENT_TYPE,
        "input_serde": ProtoSerde(handler.request),
        "output_serde": ProtoSerde(handler.reply),
    }
