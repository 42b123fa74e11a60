"""Protobuf in Restate's journal: what is in flight survives an upgrade as long as the messages stay compatible."""

from typing import TypeVar

from google.protobuf.message import Message
from restate.serde import Serde

M = TypeVar("M", bound=Message)


class ProtoSerde(Serde[M]):
    """Bytes of one message type. No bytes stand for a message with every field at its default."""

    def __init__(self, kind: type[M]) -> None:
        self._kind = kind

    def serialize(self, obj: M | None) -> bytes:
        """The message's bytes; None is the empty message."""
        return b"" if obj is None else obj.SerializeToString(deterministic=True)

    def deserialize(self, buf: bytes) -> M:
        """The message. Raises google.protobuf.message.DecodeError for bytes that are none."""
        return self._kind.FromString(buf)
