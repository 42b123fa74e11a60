"""What is generated is checked in as generated, and journals written by older code can still be read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

from tests.packaging import step_record
from tests.packaging.repository import ROOT, files
from tests.packaging.workflow_record import breaking_changes, current, recorded

GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def test_generated_code_is_what_the_protos_say(tmp_path: Path) -> None:
    """Promise: generated code is unedited and current."""
    environment = {**os.environ, "VENV": str(Path(sys.prefix))}
    subprocess.run(
        [ROOT / "dev" / "generate.sh", tmp_path], check=True, env=environment, timeout=100, capture_output=True
    )
    fresh = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    checked_in = {path.relative_to(ROOT): path.read_bytes() for path in files(*GENERATED)}
    assert set(fresh) == set(checked_in)
    assert sorted(str(path) for path, content in fresh.items() if checked_in[path] != content) == []


def test_workflow_messages_only_grow() -> None:
    """Promise: an invocation that is in flight during an upgrade is understood by the new code."""
    assert breaking_changes(recorded(), current()) == []


def test_workflow_additions_are_recorded() -> None:
    """Promise: a field is protected from its first commit on. Run: python -m tests.packaging.workflow_record"""
    assert breaking_changes(current(), recorded()) == []


def changed(kind: str) -> FileDescriptorSet:
    contract = current()
    message = next(each for each in contract.file[0].message_type if each.name == "BuildResult")
    if kind == "removed":
        del message.field[0]
    elif kind == "renumbered":
        message.field[0].number = 99
    elif kind == "retyped":
        message.field[0].type = FieldDescriptorProto.TYPE_INT64
    elif kind == "repeated":
        message.field[0].label = FieldDescriptorProto.LABEL_REPEATED
    elif kind == "renamed":
        message.field[0].name = "other"
    elif kind == "message removed":
        contract.file[0].message_type.remove(message)
    elif kind == "package":
        contract.file[0].package = "sealift.workflow.v2"
    elif kind == "added":
        message.field.add(name="more", number=100, type=FieldDescriptorProto.TYPE_STRING)
    return contract


@pytest.mark.parametrize(
    "kind", ["removed", "renumbered", "retyped", "repeated", "renamed", "message removed", "package"]
)
def test_the_check_notices(kind: str) -> None:
    """Promise: the check is not blind to any way of breaking a message."""
    assert breaking_changes(current(), changed(kind))


def test_the_check_allows_growth() -> None:
    """Promise: adding a field is no break."""
    assert breaking_changes(current(), changed("added")) == []


def test_steps_of_workflows_are_recorded() -> None:
    """Promise: no step is renamed, and no result of one changes, unnoticed: journals of deploys under way hold both.

    Raise the CODE_VERSION of every workflow that runs a changed step, then: python -m tests.packaging.step_record
    """
    assert step_record.current() == step_record.recorded()


def test_every_step_is_seen() -> None:
    """Promise: the record is not blind: steps of objects, of waits, and those that workflows share are in it."""
    text = "\n".join(step_record.recorded())
    for name in ("open", "place", "health", "attempt", "assign", "census", "stop instances"):
        assert f"step {name!r}" in text
