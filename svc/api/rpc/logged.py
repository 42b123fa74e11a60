"""The fields of a request in the log line of its call: those that the protos mark with the option `logged`."""

from functools import cache

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from sealift.ctrl.v1 import options_pb2

_MAX_LOGGED_CHARS = 256


def logged_fields(request: Message) -> dict[str, object]:
    """The ids and names in a request and in messages directly in it, by field name; absent and empty ones are left out.

    A value is cut after 256 characters. A field marked `debug_redact` is never logged, whatever else it is marked.
    """
    found = _logged_in(request)
    for name in _inner_messages(request.DESCRIPTOR):
        if request.HasField(name):
            found |= _logged_in(getattr(request, name))
    return found


def _logged_in(message: Message) -> dict[str, object]:
    values = ((name, getattr(message, name)) for name in _logged_names(message.DESCRIPTOR))
    return {name: str(value)[:_MAX_LOGGED_CHARS] for name, value in values if value}


@cache
def _logged_names(message: Descriptor) -> tuple[str, ...]:
    options = ((field.name, field.GetOptions()) for field in message.fields)
    return tuple(name for name, option in options if option.Extensions[options_pb2.logged] and not option.debug_redact)


@cache
def _inner_messages(message: Descriptor) -> tuple[str, ...]:
    return tuple(field.name for field in message.fields if field.message_type is not None and not field.is_repeated)
