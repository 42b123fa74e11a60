"""Every field of every RPC at its boundaries: refused by name or taken, never an internal error, never a hang."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from pkg.auth.testing import METHODS
from pkg.db.testing import PostgresqlServer
from sealift.ctrl.v1 import (
    build_pb2,
    cluster_pb2,
    deployment_pb2,
    key_pb2,
    project_pb2,
)
from svc.api.conftest import Deploy, Upload
from svc.api.testing import REGION, RecordingRestate, RunningApi, config_in, running_api

ANSWER_WITHIN_S = 10.0
FIRST_MESSAGE_WITHIN_S = 0.3  # a stream that was let in may have nothing to say
# what may be said of a request that is wrong, or that comes at the wrong time
FAIR = {
    "OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
}  # fmt: skip

TEXTS = (
    "", " ", "x", "\0", "a\nb", "\x7f", "-", "..", "../../etc/passwd", "%00%s%n", "'; DROP TABLE keys; --", "{}",
    "ä€😀", "\u202eabc", "e\u0301" * 50, "a" * 300, "é" * 40_000, "proj_" + "0" * 26, "dep_" + "z" * 26, "/", "http://[",
)  # fmt: skip
NUMBERS = {
    FieldDescriptor.TYPE_UINT32: (0, 1, 2**31, 2**32 - 1),
    FieldDescriptor.TYPE_INT32: (0, -1, -(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 1, 2**63 - 1, 2**63, 2**64 - 1),
    FieldDescriptor.TYPE_INT64: (0, -1, -(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_ENUM: (0, 1, 99, -1),
    FieldDescriptor.TYPE_BOOL: (False, True),
    FieldDescriptor.TYPE_STRING: TEXTS,
    FieldDescriptor.TYPE_BYTES: (b"", b"\0", b"\xff" * 70_000),
}


@pytest.fixture(params=["sqlite", "postgresql"])
async def api(request: pytest.FixtureRequest, tmp_path: Path, restate: RecordingRestate) -> AsyncIterator[RunningApi]:
    """On each database: what SQLite takes, PostgreSQL may refuse to compare with or to store."""
    if request.param == "sqlite":
        async with running_api(config_in(tmp_path, restate.url)) as one:
            yield one
        return
    server = PostgresqlServer()
    try:
        server.start()
        with server.database() as url:
            async with running_api(config_in(tmp_path, restate.url, database_url=url)) as one:
                yield one
    finally:
        server.stop()


def values_of(field: FieldDescriptor) -> tuple[Any, ...]:
    return NUMBERS[field.type]


def set_field(message: Any, field: FieldDescriptor) -> Iterator[str]:
    """Sets the field to one value after the other, in place; says each."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        yield from set_map(message, field)
    elif field.is_repeated:
        yield from set_repeated(message, field)
    elif field.message_type is not None:
        inner = getattr(message, field.name)
        for name in field.message_type.fields:
            before = type(inner)()
            before.CopyFrom(inner)
            for named in set_field(inner, name):
                inner.SetInParent()
                yield f"{field.name}.{named}"
            inner.CopyFrom(before)
        message.ClearField(field.name)
        yield f"no {field.name}"
        getattr(message, field.name).SetInParent()
        yield f"empty {field.name}"
    else:
        for value in values_of(field):
            setattr(message, field.name, value)
            yield f"{field.name} = {value!r:.40}"
        message.ClearField(field.name)
        yield f"no {field.name}"


def set_repeated(message: Any, field: FieldDescriptor) -> Iterator[str]:
    many = getattr(message, field.name)
    sound = many[0] if many else None
    del many[:]
    yield f"no {field.name}"
    if field.message_type is not None:
        for inner in field.message_type.fields:
            del many[:]
            one = many.add()
            if sound is not None:
                one.CopyFrom(sound)
            for named in set_field(one, inner):
                yield f"{field.name}[].{named}"
        del many[:]
        for _ in range(5001):
            many.add()
    else:
        for value in values_of(field):
            many[:] = [value, value]
            yield f"{field.name} = 2 x {value!r:.40}"
        many[:] = [values_of(field)[-1]] * 5001
    yield f"{field.name}: 5001 of them"
    del many[:]


def set_map(message: Any, field: FieldDescriptor) -> Iterator[str]:
    many = getattr(message, field.name)
    for text in TEXTS:
        many.clear()
        many[text] = "value"
        yield f"{field.name}[{text!r:.40}]"
        many.clear()
        many["NAME"] = text
        yield f"{field.name} of {text!r:.40}"
    many.clear()
    for number in range(300):
        many[f"N{number}"] = "v"
    yield f"{field.name}: 300 of them"
    many.clear()


class Known:
    """A sound request for each method."""

    def __init__(self, **values: str) -> None:
        self._values = values

    def request(self, method: MethodDescriptor) -> Any:
        made: Any = GetMessageClass(method.input_type)()
        for field in method.input_type.fields:
            is_known = field.name in self._values and field.type == FieldDescriptor.TYPE_STRING
            is_free = field.containing_oneof is None or made.WhichOneof(field.containing_oneof.name) is None
            if is_known and is_free and not field.is_repeated:
                setattr(made, field.name, self._values[field.name])
        if method.name == "CreateBuild":
            made.build_context.build_context_path = self._values["build_context_path"]
        if method.name == "CreateKey":
            made.role = key_pb2.KEY_ROLE_DEPLOY
        if method.name == "GenerateUploadURL":
            made.size_bytes = 10
        if method.name == "ReportInstances":
            made.instances.add(
                instance_id="i-1",
                deployment_id=self._values["deployment_id"],
                state=deployment_pb2.INSTANCE_STATE_HEALTHY,
            )
        if method.name == "ReportImages":
            made.images.add(image_ref="engine:sha256:" + "0" * 64, created_at=1)
        if method.name == "ReportApplied":
            made.nacks.add(version=1, hostname="hello.sealift.localhost", message="refused")
        return made


@pytest.fixture
async def known(api: RunningApi, project: project_pb2.Project, deploy: Deploy, upload: Upload) -> Known:
    made = await deploy()
    path = await upload(project.project_id)
    context = build_pb2.BuildContext(build_context_path=path)
    built = await api.admin.build.CreateBuild(
        build_pb2.CreateBuildRequest(project_id=project.project_id, build_context=context)
    )
    region = await api.krane.cluster.Register(
        cluster_pb2.RegisterRequest(region=REGION, instance_id="inst-1", version="1", runtime="docker", engine="e")
    )
    made_key = await api.admin.key.CreateKey(key_pb2.CreateKeyRequest(name="ci", role=key_pb2.KEY_ROLE_DEPLOY))
    return Known(
        project_id=project.project_id, environment_id=made.environment_id, deployment_id=made.deployment_id,
        build_id=built.build.build_id, build_context_path=path, key_id=made_key.key.key_id, region=REGION,
        environment_slug="production", docker_image="nginx:1.27", slug="another", name="A name",
        sha256="0" * 64, hostname="hello.sealift.localhost", operation_id="op_" + "0" * 26,
        instance_id="inst-1", runtime="docker", epoch=region.epoch,
    )  # fmt: skip


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def key_for(api: RunningApi, method: MethodDescriptor) -> str:
    return api.krane_key if method.containing_service.name == "ClusterService" else api.admin_key


async def by_grpc(channel: aio.Channel, key: str, method: MethodDescriptor, request: Message) -> str:
    """The status; "hang" when there is none in time."""
    reply, metadata = GetMessageClass(method.output_type), (("authorization", f"Bearer {key}"),)
    encode: Any = type(request).SerializeToString
    try:
        if not method.server_streaming:
            call = channel.unary_unary(path_of(method), encode, reply.FromString)
            await call(request, metadata=metadata, timeout=ANSWER_WITHIN_S)
            return "OK"
        stream = channel.unary_stream(path_of(method), encode, reply.FromString)(request, metadata=metadata)
        try:
            async with asyncio.timeout(FIRST_MESSAGE_WITHIN_S):
                await stream.read()
        except TimeoutError:
            pass
        finally:
            stream.cancel()
    except aio.AioRpcError as error:
        return "hang" if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED else error.code().name
    return "OK"


async def test_every_field_at_its_boundaries(api: RunningApi, known: Known) -> None:
    """Promise: whatever stands in a field, the answer says what is wrong with it, or it is done."""
    unfair = []
    async with aio.insecure_channel(api.grpc, options=(("grpc.max_receive_message_length", 64 << 20),)) as channel:
        for method in METHODS:
            for field in method.input_type.fields:
                request = known.request(method)
                for named in set_field(request, field):
                    status = await by_grpc(channel, key_for(api, method), method, request)
                    if status not in FAIR:
                        unfair.append(f"{method.name}: {named}: {status}")
    assert not unfair, "\n".join(unfair)


BODIES: tuple[bytes, ...] = (
    b"", b"null", b"[]", b'"x"', b"1", b"{", b"{}", b'{"nothing": 1}', b"\xff\xfe{}", b'{"slug": "\\ud800"}',
    b'{"slug": NaN}', b'{"pageSize": -1}', b'{"pageSize": 1e400}', b'{"pageSize": 1.5}', b'{"slug": ["x"]}',
    b'{"slug": "a", "slug": "b"}', b"[" * 100_000, b'{"a":' * 5_000, b'{"slug": "' + b"x" * (5 << 20) + b'"}',
    b'{"projectId": "\\ud800"}', b'{"deploymentId": "\\udfff"}', b'{"afterSeq": "99999999999999999999"}',
)  # fmt: skip


async def test_every_body_over_json(api: RunningApi, known: Known) -> None:
    """Promise: no body, however malformed, is an internal error of the Connect adapter."""
    unfair = []
    # a connection each: one that carried a damaged body is closed
    alone, within = aiohttp.TCPConnector(force_close=True), aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
    async with aiohttp.ClientSession(connector=alone, timeout=within) as http:

        async def post(method: MethodDescriptor, body: bytes, **more: str) -> None:
            headers = {"Authorization": f"Bearer {key_for(api, method)}", "Content-Type": "application/json", **more}
            try:
                async with http.post(api.http + path_of(method), data=io.BytesIO(body), headers=headers) as response:
                    # 400 as plain text: what HTTP itself does not understand never reaches the adapter
                    if response.status == 200 or (response.status == 400 and response.content_type == "text/plain"):
                        return
                    status = (await response.json())["code"].upper()
            except (aiohttp.ClientError, TimeoutError, KeyError) as error:
                status = type(error).__name__
            if status not in FAIR:
                unfair.append(f"{method.name}: {body[:40]!r} {more}: {status}")

        for method in METHODS:
            if method.server_streaming:
                continue
            for body in BODIES:
                await post(method, body)
            sound = json_format.MessageToJson(known.request(method)).encode()
            for encoding in ("gzip", "deflate", "br", "nonsense"):
                await post(method, sound, **{"Content-Encoding": encoding})
    assert not unfair, "\n".join(unfair)
