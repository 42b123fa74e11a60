"""The recorded contract of sealift.workflow.v1: what lies in journals and must still be read after an upgrade.

`python -m tests.packaging.workflow_record` records additions after a change of the proto. It refuses a change that
an invocation in flight would not survive.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

from sealift.workflow.v1 import workflow_pb2

RECORD = Path(__file__).with_name("workflow_v1.txtpb")


def current() -> FileDescriptorSet:
    """The contract of the code."""
    file = FileDescriptorProto()
    workflow_pb2.DESCRIPTOR.CopyToProto(file)
    return FileDescriptorSet(file=[file])


def recorded() -> FileDescriptorSet:
    """The contract as it was recorded."""
    return text_format.Parse(RECORD.read_text(encoding="utf-8"), FileDescriptorSet())


def breaking_changes(old: FileDescriptorSet, new: FileDescriptorSet) -> list[str]:
    """What of `old` is gone or means something else in `new`; additions are fine."""
    old_parts, new_parts = dict(_parts(old)), dict(_parts(new))
    return [
        f"{name} was {meaning}, is {new_parts.get(name, 'gone')}"
        for name, meaning in old_parts.items()
        if new_parts.get(name) != meaning
    ]


def _parts(contract: FileDescriptorSet) -> Iterator[tuple[str, str]]:
    for file in contract.file:
        for message in file.message_type:
            yield from _message(message, f"{file.package}.{message.name}")
        for enum in file.enum_type:
            yield from _enum(enum, f"{file.package}.{enum.name}")


def _message(message: DescriptorProto, name: str) -> Iterator[tuple[str, str]]:
    yield name, "a message"
    for field in message.field:
        shape = text_format.MessageToString(field, as_one_line=True)
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
        # by number: on the wire that is what a field is; the index of a oneof moves when another one is added
        yield (
            f"{name} field {field.number}",
            f"{shape.replace(f'oneof_index: {field.oneof_index}', '')} {oneof}".strip(),
        )
    for nested in message.nested_type:
        yield from _message(nested, f"{name}.{nested.name}")
    for enum in message.enum_type:
        yield from _enum(enum, f"{name}.{enum.name}")


def _enum(enum: EnumDescriptorProto, name: str) -> Iterator[tuple[str, str]]:
    yield name, "an enum"
    for value in enum.value:
        yield f"{name} value {value.number}", value.name


def main() -> int:
    """Write the record; exit status 1 and the reasons when that would break what is in flight."""
    broken = breaking_changes(recorded(), current()) if RECORD.exists() else []
    if broken:
        print("\n".join(["Invocations in flight would not survive:", *broken]), file=sys.stderr)
        return 1
    RECORD.write_text(text_format.MessageToString(current()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
