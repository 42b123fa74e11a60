"""For tests: every method and every message of the contract, found in the generated code, new ones included."""

import pkgutil
from importlib import import_module

from google.protobuf.descriptor import Descriptor, FileDescriptor, MethodDescriptor

import sealift.ctrl.v1

_FILES: list[FileDescriptor] = [
    import_module(f"sealift.ctrl.v1.{module.name}").DESCRIPTOR
    for module in pkgutil.iter_modules(sealift.ctrl.v1.__path__)
    if module.name.endswith("_pb2")
]
METHODS: list[MethodDescriptor] = [
    method for file in _FILES for service in file.services_by_name.values() for method in service.methods
]
MESSAGES: list[Descriptor] = [message for file in _FILES for message in file.message_types_by_name.values()]
