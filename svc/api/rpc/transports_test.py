"""Every method on both transports: who gets in."""

import asyncio
from typing import Any

import aiohttp
import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from sqlalchemy import update

from pkg.auth import Role, access_of, is_open, roles
from pkg.auth.testing import METHODS
from pkg.clock import now_ms
from pkg.config import ConfigError
from pkg.keys.tables import keys
from pkg.observability.metrics import Metrics
from pkg.observability.tracing import Tracing
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import (
    cluster_pb2,
    ctrl_pb2,
    deployment_pb2,
    key_pb2,
)
from svc.api.conftest import Deploy
from svc.api.rpc import Authorizer, Clients, Failure, RpcPipeline, Service, grpc_transport
from svc.api.servers import GrpcServer, bind_http
from svc.api.services.deployments.service import DeploymentServicer
from svc.api.testing import RunningApi, refused

WATCH = "/sealift.ctrl.v1.DeploymentService/WatchDeployment"


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


async def by_grpc(address: str, method: MethodDescriptor, metadata: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """Status and code of an empty call; ("OK", "") when it went through."""
    request, reply = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    async with aio.insecure_channel(address) as channel:
        make: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
        call = make(path_of(method), request.SerializeToString, reply.FromString)(request(), metadata=metadata)
        try:
            if method.server_streaming:
                async for _ in call:
                    call.cancel()
                    break
            else:
                await call
        except aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.CANCELLED:
                return "OK", ""
            status, code, _, _ = refused(error)
            return status.name, code
        except asyncio.CancelledError:
            pass
        return "OK", ""


async def by_http(url: str, method: MethodDescriptor, headers: dict[str, str]) -> tuple[str, str]:
    """The same over JSON."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(url + path_of(method), json={}, headers=headers) as response,
    ):
        if response.status == 200:
            return "OK", ""
        body = await response.json()
        return body["code"].upper(), body["details"][0]["debug"]["reason"]


async def test_no_key_no_entry(api: RunningApi) -> None:
    """Promise: without a key, or with a wrong one, every method but the open ones is denied, on both transports."""
    for method in METHODS:
        needs_key = not is_open(access_of(method))
        expected = ("UNAUTHENTICATED", "auth.key_missing") if needs_key else ("OK", "")
        assert await by_grpc(api.grpc, method, ()) == expected, path_of(method)
        assert await by_http(api.http, method, {}) == expected, path_of(method)
        for wrong in ("slk_" + "x" * 40, "nonsense", api.admin_key[:-1]):
            expected = ("UNAUTHENTICATED", "auth.key_invalid") if needs_key else ("OK", "")
            assert await by_grpc(api.grpc, method, (("authorization", f"Bearer {wrong}"),)) == expected
            assert await by_http(api.http, method, {"Authorization": f"Bearer {wrong}"}) == expected


async def test_a_role_does_only_what_it_is_for(api: RunningApi) -> None:
    """Promise: the role of a key decides, on both transports, for every method."""
    made = await api.admin.key.CreateKey(key_pb2.CreateKeyRequest(name="ci", role=key_pb2.KEY_ROLE_DEPLOY))
    keys = {Role.ADMIN: api.admin_key, Role.DEPLOY: made.secret, Role.CLUSTER: api.krane_key}
    for method in METHODS:
        for role, key in keys.items():
            allowed = frozenset(Role) if is_open(access_of(method)) else roles(access_of(method))
            for outcome in (
                await by_grpc(api.grpc, method, (("authorization", f"Bearer {key}"),)),
                await by_http(api.http, method, {"Authorization": f"Bearer {key}"}),
            ):
                assert (outcome != ("PERMISSION_DENIED", "auth.role")) is (role in allowed), (path_of(method), role)


async def test_krane_speaks_for_its_region_only(api: RunningApi) -> None:
    """Promise: a cluster key can't touch another region."""
    for method in cluster_pb2.DESCRIPTOR.services_by_name["ClusterService"].methods:
        stub = getattr(api.krane.cluster, method.name)
        request = GetMessageClass(method.input_type)(region="elsewhere")
        call = stub([request] if method.client_streaming else request)
        with pytest.raises(aio.AioRpcError) as caught:
            await call.read() if method.server_streaming else await call
        assert refused(caught.value)[:2] == (grpc.StatusCode.PERMISSION_DENIED, "auth.region"), method.name


async def test_ended_keys_say_why(api: RunningApi) -> None:
    """Promise: expired and revoked keys are refused with a message that names SEALIFT_API_KEY."""
    request = key_pb2.CreateKeyRequest(name="short", role=key_pb2.KEY_ROLE_DEPLOY, expires_in_s=60)
    made = await api.admin.key.CreateKey(request)
    info = ctrl_pb2.GetServerInfoRequest()
    metadata = (("authorization", f"Bearer {made.secret}"),)
    await api.open.ctrl.GetServerInfo(info, metadata=metadata)

    async def refused_with() -> tuple[str, str]:
        with pytest.raises(aio.AioRpcError) as caught:
            await api.open.ctrl.GetServerInfo(info, metadata=metadata)
        _, code, _, message = refused(caught.value)
        return code, message

    await api.db.write(
        lambda c: c.execute(update(keys).where(keys.c.id == made.key.key_id).values(expires_at=now_ms() - 1))
    )
    code, message = await refused_with()
    assert code == "auth.key_expired"
    assert "SEALIFT_API_KEY" in message
    await api.admin.key.RevokeKey(key_pb2.RevokeKeyRequest(key_id=made.key.key_id))
    await api.admin.key.RevokeKey(key_pb2.RevokeKeyRequest(key_id=made.key.key_id))
    code, message = await refused_with()
    assert code == "auth.key_revoked"
    assert "SEALIFT_API_KEY" in message
    listed = (await api.admin.key.ListKeys(key_pb2.ListKeysRequest())).keys
    assert {key.name for key in listed} == {"admin", "krane-local", "short"}
    assert next(key for key in listed if key.name == "short").revoked_at > 0
    assert made.secret not in str(listed)


async def test_a_key_cannot_revoke_itself(api: RunningApi) -> None:
    """Promise: a caller cannot revoke the key it uses."""
    own = next(k for k in (await api.admin.key.ListKeys(key_pb2.ListKeysRequest())).keys if k.name == "admin")
    with pytest.raises(aio.AioRpcError) as caught:
        await api.admin.key.RevokeKey(key_pb2.RevokeKeyRequest(key_id=own.key_id))
    assert refused(caught.value)[1] == "key.in_use"


async def test_health_and_reflection_are_open_on_loopback(api: RunningApi) -> None:
    """Promise: probes and grpcurl work without a key where only this machine listens."""
    async with aio.insecure_channel(api.grpc) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service="sealift.ctrl.v1.CtrlService"))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        listing: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        async for reply in listing.ServerReflectionInfo(requests):
            assert "sealift.ctrl.v1.DeploymentService" in {s.name for s in reply.list_services_response.service}
            break


async def test_unknown_methods_are_not_served(api: RunningApi) -> None:
    """Promise: an undeclared method is UNIMPLEMENTED, with and without a key."""
    async with aio.insecure_channel(api.grpc) as channel:
        for metadata in ((), (("authorization", f"Bearer {api.admin_key}"),)):
            with pytest.raises(aio.AioRpcError) as caught:
                await channel.unary_unary("/sealift.ctrl.v1.CtrlService/Nothing")(b"", metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_revoked_key_loses_its_streams(api: RunningApi, deploy: Deploy) -> None:
    """Promise: a key that was revoked while it followed something is shut out at once."""
    made = await deploy()
    key = await api.admin.key.CreateKey(key_pb2.CreateKeyRequest(name="ci", role=key_pb2.KEY_ROLE_DEPLOY))
    authorizer = Authorizer(api.db, now_ms)
    pipeline = RpcPipeline(authorizer, Metrics("api", "t"), Tracing(), Clients(()), recheck_s=0.05)
    entered, ended = asyncio.Event(), asyncio.Event()
    metadata = {"authorization": f"Bearer {key.secret}"}
    request = deployment_pb2.WatchDeploymentRequest(deployment_id=made.deployment_id)
    service = deployment_pb2.DESCRIPTOR.services_by_name["DeploymentService"]
    method = Service(service, DeploymentServicer).methods["WatchDeployment"]

    async def receive() -> deployment_pb2.WatchDeploymentRequest:
        return request

    async def follow() -> str:
        try:
            async with pipeline.enter(method, metadata, receive, transport="grpc", peer="127.0.0.1"):
                entered.set()
                await ended.wait()
        except Failure as failure:
            return failure.error.code
        return ""

    following = asyncio.create_task(follow())
    await entered.wait()
    await api.admin.key.RevokeKey(key_pb2.RevokeKeyRequest(key_id=key.key.key_id))
    async with asyncio.timeout(WAIT_S):
        assert await following == "auth.key_revoked"


async def test_a_second_api_on_the_port_is_an_error(api: RunningApi) -> None:
    """Promise: two processes never share a port; the message names it."""
    pipeline = RpcPipeline(Authorizer(api.db, now_ms), Metrics("api", "t"), Tracing(), Clients(()))
    with pytest.raises(ConfigError, match=api.grpc):
        GrpcServer(api.grpc, [], pipeline)
    with pytest.raises(ConfigError, match=r"http\.listen"):
        bind_http(api.http.removeprefix("http://"))


GET_PROJECT = "/sealift.ctrl.v1.ProjectService/GetProject"
# bytes that no request has: a length beyond the end, a group that never ends, text that is not UTF-8, deep nesting
MALFORMED = [b"\x0a\xff", b"\x0b", b"\x0a\x02\xff\xfe", b"\x1b" * 5000, b"hunter2\xff\xff"]


@pytest.mark.parametrize("body", MALFORMED, ids=repr)
async def test_malformed_protobuf(api: RunningApi, caplog: pytest.LogCaptureFixture, body: bytes) -> None:
    """Promise: bytes that are no request are InvalidArgument for who has a key, one line of log, and not repeated."""
    caplog.set_level("INFO")
    metadata = (("authorization", f"Bearer {api.admin_key}"),)
    async with aio.insecure_channel(api.grpc) as channel:
        call = channel.unary_unary(GET_PROJECT)
        with pytest.raises(aio.AioRpcError) as caught:
            await call(body, metadata=metadata)
        assert refused(caught.value)[:3] == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_argument", "body")
        with pytest.raises(aio.AioRpcError) as caught:
            await call(body)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    lines = [record for record in caplog.records if record.getMessage() == "rpc"]
    assert len(lines) == 2
    assert not any(record.exc_info or "hunter2" in str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b'"x"', b"\xff\xfe", b'{"slug": "\xff"}',
        b'{"slug": 1' + b"0" * 5000 + b"}", b'{"slug": "\\ud800"}',
        b'{"slug": "a", "slug": "b"}', b"[" * 100_000, b'{"a":' * 100_000, b'{"pageSize": 1e999}', b"nul\x00l",
    ],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
async def test_malformed_json(api: RunningApi, caplog: pytest.LogCaptureFixture, body: bytes) -> None:
    """Promise: whatever is no JSON of the request is InvalidArgument, and without a key it is not even looked at."""
    caplog.set_level("INFO")
    url, kind = api.http + GET_PROJECT, {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as http:
        async with http.post(url, data=body, headers=kind | api.headers()) as response:
            answer = await response.json()
            assert (response.status, answer["code"]) == (400, "invalid_argument"), answer
        async with http.post(url, data=body, headers=kind) as response:
            assert response.status == 401
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize(
    "sent",
    [
        b"hunter2 \xff\xff\r\n\r\n", b"GET /\x00hunter2 HTTP/1.1\r\n\r\n", b"GET /hunter2 HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: hunter2\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nhunter2\r\n", b"\x16\x03\x01\x02\x00hunter2",
    ],
    ids=lambda sent: repr(sent[:12]),
)  # fmt: skip
async def test_what_is_no_http(api: RunningApi, caplog: pytest.LogCaptureFixture, sent: bytes) -> None:
    """Promise: it is answered 4xx and counted, and logged once, without its content, however often it comes."""
    caplog.set_level("INFO")
    host, _, port = api.http.removeprefix("http://").rpartition(":")
    for _ in range(3):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        assert (await asyncio.wait_for(reader.read(), WAIT_S)).split()[1][:1] == b"4"
        writer.close()
    assert not any(record.exc_info or "hunter2" in str(vars(record)) for record in caplog.records)
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) <= 1


@pytest.mark.parametrize("name", ["/sealift.ctrl.v1.CtrlService/GetServerInfo", WATCH, "/sealift.ctrl.v1.X/Unknown"])
async def test_a_grpc_call_that_never_sends_its_request_is_ended(
    api: RunningApi, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: it holds its place for seconds; without a key, or at a method that is not there, for no time at all."""
    monkeypatch.setattr(grpc_transport, "MESSAGE_TIMEOUT_S", 0.3)
    async with aio.insecure_channel(api.grpc) as channel, asyncio.timeout(60):

        async def silent(*metadata: tuple[str, str], has_ended: bool = False) -> tuple[grpc.StatusCode, str]:
            call = channel.stream_stream(name)(metadata=metadata)
            if has_ended:
                await call.done_writing()
            with pytest.raises(aio.AioRpcError) as caught:
                await call.read()
            return caught.value.code(), caught.value.details() or ""

        key = ("authorization", f"Bearer {api.admin_key}")
        status, words = await silent(key)
        if name.endswith("Unknown"):
            assert status is grpc.StatusCode.UNIMPLEMENTED
        else:
            assert (status, "did not arrive within" in words) == (grpc.StatusCode.INVALID_ARGUMENT, True)
            assert (await silent())[0] is grpc.StatusCode.UNAUTHENTICATED
            assert "is missing" in (await silent(key, has_ended=True))[1]
    await api.admin.ctrl.GetServerInfo(ctrl_pb2.GetServerInfoRequest())
