"""Protobuf messages as JSON data for `--json`, always with all keys. Pure.

Every field is present under its proto name. Numbers are numbers (times: epoch milliseconds), enums are the lower-case
names that the other output uses ("ready", "running"), and absent or unspecified values are null.
"""

from typing import Any, TypeAlias

from google.protobuf.message import Message

_Field: TypeAlias = Any  # a FieldDescriptor: the stubs say it is one of two classes, one of them private


def message_to_dict(message: Message) -> dict[str, Any]:
    """A message as a dict for `json.dumps`."""
    return {field.name: _value(message, field) for field in message.DESCRIPTOR.fields}


def _value(message: Message, field: _Field) -> Any:
    value = getattr(message, field.name)
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return dict(value)
    if field.is_repeated:
        return [_single(one, field) for one in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _single(value, field)


def _single(value: Any, field: _Field) -> Any:
    if field.message_type is not None:
        return message_to_dict(value)
    if field.enum_type is not None:
        return _enum_name(value, field)
    return value


def _enum_name(number: int, field: _Field) -> str | int | None:
    """E.g. "ready" of DEPLOYMENT_STATUS_READY; the number of a value newer than this program."""
    if number == 0:
        return None
    names = field.enum_type.values_by_number
    if number not in names:
        return number
    return str(names[number].name).removeprefix(names[0].name.removesuffix("UNSPECIFIED")).lower()
