"""The field names that log lines can use."""

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache

from google.protobuf.descriptor import Descriptor

import sealift.ctrl.v1
from pkg.observability.log_fields import EVERY_LINE, NEVER, OWN


@cache
def proto_fields() -> frozenset[str]:
    """The names of all fields of all messages of the api."""
    found: set[str] = set()

    def take(messages: Iterable[Descriptor]) -> None:
        for message in messages:
            found.update(field.name for field in message.fields)
            take(message.nested_types)

    for module in pkgutil.iter_modules(sealift.ctrl.v1.__path__):
        if module.name.endswith("_pb2"):
            one = importlib.import_module(f"sealift.ctrl.v1.{module.name}")
            take(one.DESCRIPTOR.message_types_by_name.values())
    return frozenset(found)


def allowed() -> frozenset[str]:
    """All permitted names."""
    return EVERY_LINE | frozenset(OWN) | (proto_fields() - NEVER)
