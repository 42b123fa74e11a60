"""Messages of krane and api of other times, for tests that let them meet.

`cluster_before_capabilities.binpb` records the protocol from before kranes reported capabilities: a FileDescriptorSet
of proto/sealift/ctrl/v1/cluster.proto and what it imports as of version 0.1, by `protoc --include_imports
--descriptor_set_out`. It stays as it is.
"""

from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from sealift.ctrl.v1 import cluster_pb2 as pb

M = TypeVar("M", bound=Message)
_BEFORE = Path(__file__).with_name("cluster_before_capabilities.binpb")
_FIELD = descriptor_pb2.FieldDescriptorProto


def _load(files: list[descriptor_pb2.FileDescriptorProto]) -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _class_of(pool: descriptor_pool.DescriptorPool, name: str) -> Any:
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"sealift.ctrl.v1.{name}"))


_OLD = _load(list(descriptor_pb2.FileDescriptorSet.FromString(_BEFORE.read_bytes()).file))


def as_old_program(message: M) -> M:
    """The message as a program older than capabilities reads it."""
    old = _class_of(_OLD, message.DESCRIPTOR.name).FromString(message.SerializeToString())
    old.DiscardUnknownFields()
    return type(message).FromString(old.SerializeToString())


def _future() -> descriptor_pool.DescriptorPool:
    """Today's protocol with one kind of change more: volumes, by hostname."""
    files: list[descriptor_pb2.FileDescriptorProto] = []

    def add(descriptor: Any) -> None:
        for dependency in descriptor.dependencies:
            add(dependency)
        file = descriptor_pb2.FileDescriptorProto()
        descriptor.CopyToProto(file)
        if file.name not in [one.name for one in files]:
            files.append(file)

    add(pb.DESCRIPTOR)
    cluster = files[-1]
    response = next(m for m in cluster.message_type if m.name == "WatchDesiredStateResponse")
    events = ((1000, "Volume", "volume"), (1001, "VolumeRemoved", "volume_removed"))
    for number, name, field in events:
        made = cluster.message_type.add(name=name)
        made.field.add(name="hostname", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
        response.field.add(
            name=field,
            number=number,
            type=_FIELD.TYPE_MESSAGE,
            type_name=f".sealift.ctrl.v1.{name}",
            label=_FIELD.LABEL_OPTIONAL,
            oneof_index=0,
        )
    return _load(files)


_FUTURE = _future()


def of_the_future(**fields: Any) -> Any:
    """A WatchDesiredStateResponse of a later program, which has the events `volume` and `volume_removed`."""
    return _class_of(_FUTURE, "WatchDesiredStateResponse")(**fields)


def unknown_change(hostname: str, version: int = 0) -> pb.WatchDesiredStateResponse:
    """A volume as today's program reads it: an event that it does not know."""
    message = of_the_future(version=version, volume={"hostname": hostname})
    return pb.WatchDesiredStateResponse.FromString(message.SerializeToString())
