"""Adding an RPC: a service of its own that only this file knows, and the one line that registers it."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from pkg.auth.testing import METHODS
from pkg.lifecycle import Runner
from pkg.observability.logging import JsonFormatter
from sealift.ctrl.v1 import key_pb2, options_pb2
from sealift.ctrl.v1.options_pb2 import Access, Permission, Scope
from svc.api.deps import ApiDeps
from svc.api.rpc import Call
from svc.api.run import start
from svc.api.services.registry import SERVICERS
from svc.api.testing import REGION, RecordingRestate, RunningApi, config_in, refused, running_api

TEXT = descriptor_pb2.FieldDescriptorProto.TYPE_STRING


def declare(name: str, access: Access | None) -> ServiceDescriptor:
    """A proto file as protoc would describe it: `GetNote` and the stream `WatchNote` of one service."""
    file = descriptor_pb2.FileDescriptorProto(name=f"notes/{name}.proto", package=f"notes.{name}", syntax="proto3")
    file.dependency.append("sealift/ctrl/v1/options.proto")
    note = file.message_type.add(name="Note")
    for number, field_name in enumerate(("region", "text"), 1):
        field = note.field.add(name=field_name, number=number, type=TEXT, json_name=field_name)
        field.label = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    note.field[0].options.Extensions[options_pb2.logged] = True
    service = file.service.add(name="NoteService")
    for method_name in ("GetNote", "WatchNote"):
        method = service.method.add(
            name=method_name, input_type=f".notes.{name}.Note", output_type=f".notes.{name}.Note"
        )
        method.server_streaming = method_name == "WatchNote"
        if access is not None:
            method.options.Extensions[options_pb2.access].CopyFrom(access)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"notes.{name}.NoteService")


NOTES = declare("v1", Access(permission=Permission.PERMISSION_ADMIN, scope=Scope.SCOPE_INSTALLATION))
UNDECLARED = declare("v2", None)
OF_A_REGION = declare("v3", Access(permission=Permission.PERMISSION_CLUSTER, scope=Scope.SCOPE_REGION))
NOTE: Any = GetMessageClass(NOTES.methods_by_name["GetNote"].input_type)


class NoteServicer:
    """Answers with the request."""

    def __init__(self, deps: ApiDeps) -> None:
        self._instance_id = deps.instance_id

    async def GetNote(self, request: Any, call: Call) -> Any:  # noqa: N802 - named as in the proto
        """The text, and the process that answers."""
        del call
        return type(request)(region=self._instance_id, text=request.text)

    async def WatchNote(self, request: Message, call: Call) -> AsyncIterator[Message]:  # noqa: N802 - the same
        """The note, once."""
        del call
        yield request


@pytest.fixture
async def api(tmp_path: Path, restate: RecordingRestate) -> AsyncIterator[RunningApi]:
    async with running_api(config_in(tmp_path, restate.url), {**SERVICERS, NOTES: NoteServicer}) as one:
        yield one


def test_every_declared_service_is_registered() -> None:
    """Promise: what the protos declare is served."""
    assert set(SERVICERS) == {method.containing_service for method in METHODS}


async def test_a_new_service_is_served_by_both_transports(api: RunningApi, caplog: pytest.LogCaptureFixture) -> None:
    """Promise: a registered service answers over gRPC and Connect; its calls are logged by what it marks."""
    caplog.set_level(logging.INFO)
    metadata = (("authorization", f"Bearer {api.admin_key}"),)
    async with aio.insecure_channel(api.grpc) as channel:
        get = channel.unary_unary("/notes.v1.NoteService/GetNote", NOTE.SerializeToString, NOTE.FromString)
        assert await get(NOTE(region="here", text="private"), metadata=metadata) == NOTE(
            region="inst-test", text="private"
        )
        watch = channel.unary_stream("/notes.v1.NoteService/WatchNote", NOTE.SerializeToString, NOTE.FromString)
        assert [note async for note in watch(NOTE(text="private"), metadata=metadata)] == [NOTE(text="private")]
    async with aiohttp.ClientSession(api.http, headers=api.headers()) as http:
        async with http.post("/notes.v1.NoteService/GetNote", json={"text": "private"}) as response:
            assert await response.json() == {"region": "inst-test", "text": "private"}
        async with http.post("/notes.v1.NoteService/WatchNote", json={"text": "private"}) as response:
            assert json.loads(await response.text()) == {"text": "private"}
    formatter = JsonFormatter("api", "inst-test")
    lines = [json.loads(formatter.format(record)) for record in caplog.records if record.getMessage() == "rpc"]
    assert {line["method"] for line in lines} == {"/notes.v1.NoteService/GetNote", "/notes.v1.NoteService/WatchNote"}
    assert lines[0]["region"] == "here"
    assert "private" not in str(lines)


async def test_a_new_service_is_authorised_by_its_options(api: RunningApi) -> None:
    """Promise: without a key, or with one of another role, it is refused on both transports."""
    made = await api.admin.key.CreateKey(key_pb2.CreateKeyRequest(name="ci", role=key_pb2.KEY_ROLE_DEPLOY))
    for key, code, status in (
        (None, "auth.key_missing", 401),
        (made.secret, "auth.role", 403),
        (api.krane_key, "auth.role", 403),
    ):
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        async with aio.insecure_channel(api.grpc) as channel:
            call = channel.unary_unary("/notes.v1.NoteService/GetNote", NOTE.SerializeToString, NOTE.FromString)
            with pytest.raises(aio.AioRpcError) as caught:
                await call(NOTE(), metadata=tuple(headers.items()))
            assert refused(caught.value)[1] == code
        async with (
            aiohttp.ClientSession(api.http) as http,
            http.post("/notes.v1.NoteService/GetNote", json={}, headers=headers) as response,
        ):
            assert response.status == status


async def test_a_method_about_a_region_is_for_that_regions_key(tmp_path: Path, restate: RecordingRestate) -> None:
    """Promise: the scope alone keeps a cluster key to its region: the servicer checks nothing."""
    note: Any = GetMessageClass(OF_A_REGION.methods_by_name["GetNote"].input_type)
    servicers = {**SERVICERS, OF_A_REGION: NoteServicer}
    async with (
        running_api(config_in(tmp_path, restate.url), servicers) as api,
        aio.insecure_channel(api.grpc) as channel,
    ):
        call = channel.unary_unary("/notes.v3.NoteService/GetNote", note.SerializeToString, note.FromString)
        metadata = (("authorization", f"Bearer {api.krane_key}"),)
        assert (await call(note(region=REGION, text="a"), metadata=metadata)).text == "a"
        for elsewhere in ("elsewhere", ""):
            with pytest.raises(aio.AioRpcError) as caught:
                await call(note(region=elsewhere), metadata=metadata)
            assert refused(caught.value)[1] == "auth.region"


async def test_what_is_not_registered_is_not_served(tmp_path: Path, restate: RecordingRestate) -> None:
    """Promise: without its line in the registry the service is not served."""
    async with running_api(config_in(tmp_path, restate.url)) as api, aio.insecure_channel(api.grpc) as channel:
        call = channel.unary_unary("/notes.v1.NoteService/GetNote", NOTE.SerializeToString, NOTE.FromString)
        with pytest.raises(aio.AioRpcError) as caught:
            await call(NOTE(), metadata=(("authorization", f"Bearer {api.admin_key}"),))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_method_without_access_keeps_the_api_from_starting(tmp_path: Path, restate: RecordingRestate) -> None:
    """Promise: a method without a declared access is not served; the message names the method and what is missing."""
    async with Runner() as runner:
        with pytest.raises(ValueError, match=r"notes\.v2\.NoteService\.GetNote declares no access: .*options\.proto"):
            await start(config_in(tmp_path, restate.url), runner, {**SERVICERS, UNDECLARED: NoteServicer})
