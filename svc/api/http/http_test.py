"""The HTTP listener: health, metrics, JSON."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from pkg.clock import now_ms
from pkg.deployments import queries
from pkg.deployments.status import Status
from pkg.storage.disk.config import DiskConfig
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import project_pb2
from svc.api.conftest import Deploy
from svc.api.deployment_testing import walk_to
from svc.api.testing import RecordingRestate, RunningApi, config_in, eventually, running_api

DEPLOYMENTS = "/sealift.ctrl.v1.DeploymentService"


@pytest.fixture
async def http(api: RunningApi) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(api.http, headers=api.headers()) as session:
        yield session


async def post(http: aiohttp.ClientSession, path: str, body: Any) -> tuple[int, Any]:
    async with http.post(path, json=body) as response:
        return response.status, await response.json()


async def test_unary(http: aiohttp.ClientSession, project: project_pb2.Project) -> None:
    """Promise: curl needs no gRPC: the same fields in camelCase or as in the protos, 64-bit numbers as strings."""
    status, body = await post(http, "/sealift.ctrl.v1.ProjectService/GetProject", {"slug": "hello"})
    assert (status, body["project"]["projectId"]) == (200, project.project_id)
    assert body["project"]["createdAt"] == str(project.created_at)
    create = {
        "project_id": project.project_id,
        "environmentSlug": "production",
        "dockerImage": "nginx",
        "gitCommit": {"commitMessage": '🚀 "x" it\'s', "authorHandle": ""},
    }
    status, body = await post(http, f"{DEPLOYMENTS}/CreateDeployment", create)
    assert status == 200
    assert body["deployment"]["gitCommit"] == create["gitCommit"]


@pytest.mark.parametrize(
    ("method", "body", "field"),
    [
        ("EnvironmentService/UpdateEnvironment", {"setVariables": ["API_KEY=hunter2"]}, "setVariables"),
        ("EnvironmentService/UpdateEnvironment", {"setVariables": "API_KEY=hunter2"}, "setVariables"),
        ("BuildService/CreateBuild", {"buildContext": {"secrets": {"npm": "hunter2"}}}, "secrets"),
        ("KeyService/CreateKey", {"name": "ci", "role": "hunter2"}, "role"),
        ("BuildService/GenerateUploadURL", {"sizeBytes": "hunter2"}, "sizeBytes"),
        ("ProjectService/ListProjects", {"pageSize": "it's hunter2"}, "pageSize"),
    ],
)
async def test_a_secret_of_the_wrong_shape_is_not_repeated(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, method: str, body: Any, field: str
) -> None:
    """Promise: neither the answer nor the log shows a value that is of another type than its field."""
    caplog.set_level("INFO")
    status, answer = await post(http, f"/sealift.ctrl.v1.{method}", body)
    assert (status, answer["code"]) == (400, "invalid_argument")
    assert field in answer["message"]
    assert "hunter2" not in json.dumps(answer)
    assert not any("hunter2" in str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "reason"),
    [
        ("GetDeployment", {"deploymentId": "dep_" + "0" * 26}, 404, "not_found", "deployment.not_found"),
        ("GetDeployment", {"deploymentId": "x"}, 400, "invalid_argument", "invalid_argument"),
        ("GetDeployment", {"nope": 1}, 400, "invalid_argument", "invalid_argument"),
        ("GetDeployment", [1], 400, "invalid_argument", "invalid_argument"),
        ("WatchDeployment", {"deploymentId": "dep_" + "0" * 26}, 404, "not_found", "deployment.not_found"),
        ("WatchDeployment", {"deploymentId": 7.5}, 400, "invalid_argument", "invalid_argument"),
    ],
)
async def test_errors_have_connects_shape(
    http: aiohttp.ClientSession, path: str, body: Any, status: int, code: str, reason: str
) -> None:
    """Promise: HTTP status, Connect's code, our stable code and the request id, before a stream, too."""
    async with http.post(f"{DEPLOYMENTS}/{path}", json=body, headers={"x-request-id": "req-1"}) as response:
        answer = await response.json()
        assert (response.status, answer["code"]) == (status, code)
        assert response.headers["x-request-id"] == "req-1"
    details = {detail["type"]: detail["debug"] for detail in answer["details"]}
    assert details["google.rpc.ErrorInfo"]["reason"] == reason
    assert details["google.rpc.RequestInfo"]["requestId"] == "req-1"
    if code == "invalid_argument":
        assert details["google.rpc.BadRequest"]["fieldViolations"][0]["field"]


async def test_broken_bodies(http: aiohttp.ClientSession) -> None:
    """Promise: what is not JSON, not declared as such or too large is refused; so are forms of other sites."""
    for data, headers in (
        (b"{", {"content-type": "application/json"}),
        (b"\xff\xfe", {"content-type": "application/json"}),
        (b'{"a":' * 5000, {"content-type": "application/json"}),
        (b"{}", {"content-type": "text/plain"}),
        (b'{"slug": "' + b"x" * (5 << 20) + b'"}', {"content-type": "application/json"}),
    ):
        path, body = "/sealift.ctrl.v1.ProjectService/GetProject", io.BytesIO(data)
        async with http.post(path, data=body, headers=headers) as response:
            assert response.status == 400, headers
            assert (await response.json())["code"] == "invalid_argument"
    async with http.get("/sealift.ctrl.v1.ProjectService/GetProject") as response:
        assert response.status == 405
    async with http.post("/sealift.ctrl.v1.ProjectService/Nothing", json={}) as response:
        assert response.status == 404


async def test_stream_as_ndjson(api: RunningApi, http: aiohttp.ClientSession, deploy: Deploy) -> None:
    """Promise: a stream is one message per line, as it happens."""
    made = await deploy()
    async with http.post(f"{DEPLOYMENTS}/WatchDeployment", json={"deploymentId": made.deployment_id}) as response:
        assert response.content_type == "application/x-ndjson"
        async with asyncio.timeout(WAIT_S):
            first = json.loads(await response.content.readline())
            assert first["deployment"]["status"] == "DEPLOYMENT_STATUS_PENDING"
            await api.db.write(walk_to, made.deployment_id, Status.CANCELLED)
            last = json.loads(await response.content.readline())
            assert last["deployment"]["status"] == "DEPLOYMENT_STATUS_CANCELLED"
            assert await response.content.readline() == b""


async def test_a_reader_that_leaves_ends_the_stream(
    api: RunningApi, http: aiohttp.ClientSession, deploy: Deploy
) -> None:
    """Promise: an idle stream ends with its connection."""
    made = await deploy()
    response = await http.post(f"{DEPLOYMENTS}/WatchDeployment", json={"deploymentId": made.deployment_id})
    await response.content.readline()

    def watchers() -> int:
        return len(api.db.commits._waiters)

    response.close()
    await eventually(lambda: watchers() == 0, "nobody waits any more")


async def test_a_stop_ends_streams_with_a_last_line(
    api: RunningApi, http: aiohttp.ClientSession, deploy: Deploy
) -> None:
    """Promise: followers over HTTP learn that the server stops."""
    made = await deploy()
    async with http.post(f"{DEPLOYMENTS}/WatchDeployment", json={"deploymentId": made.deployment_id}) as response:
        await response.content.readline()
        api.runner.stop("test")
        stopped = asyncio.create_task(api.runner.wait())
        async with asyncio.timeout(WAIT_S):
            last = json.loads(await response.content.readline())
        assert last["error"]["code"] == "unavailable"
        assert last["error"]["details"][0]["debug"]["reason"] == "server.stopping"
    await stopped


async def test_health(api: RunningApi, restate: RecordingRestate) -> None:
    """Promise: live while it runs, ready while its parts answer within 2 s, open to everyone, silent on details."""
    async with aiohttp.ClientSession(api.http) as http:
        for path in ("live", "ready", "startup"):
            async with http.get(f"/health/{path}") as response:
                assert (response.status, (await response.json())["status"]) == (200, "ok"), path
        restate.is_away = True
        async with http.get("/health/ready") as response:
            assert response.status == 503
            assert (await response.json())["checks"] == {
                "database": "ok", "writes": "ok", "restate": "failed", "objects": "ok",
            }  # fmt: skip
        restate.is_away = False
        assert isinstance(api.config.objects, DiskConfig)
        api.config.objects.root.rename(api.config.objects.root.with_name("gone"))
        async with http.get("/health/ready") as response:
            assert (await response.json())["checks"]["objects"] == "failed"
        async with http.get("/health/live") as response:
            assert response.status == 200


async def test_ready_is_false_while_stopping() -> None:
    """Promise: not ready once a stop was requested; a check that hangs costs half a second, not more."""
    from svc.api.http.health import Health

    stopping = asyncio.Event()
    health = Health({"slow": lambda: asyncio.sleep(60), "slower": lambda: asyncio.sleep(60)}, stopping)
    health.started()
    began = asyncio.get_running_loop().time()
    assert await health.ready() == {"slow": "timeout", "slower": "timeout"}
    assert asyncio.get_running_loop().time() - began < 0.9
    stopping.set()
    assert (await Health({}, stopping).ready())["process"] == "stopping"


async def test_metrics_are_for_loopback(api: RunningApi, http: aiohttp.ClientSession, deploy: Deploy) -> None:
    """Promise: /metrics counts calls by method and status, and is not for peers behind a proxy."""
    made = await deploy()
    newer = await deploy()
    await api.db.write(queries.fail, newer.deployment_id, code="x.y", message="m", step="queued", now=now_ms())
    async with aiohttp.ClientSession(api.http) as anyone:
        async with anyone.get("/metrics") as response:
            text = await response.text()
        assert response.status == 200
        async with anyone.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}) as response:
            assert response.status == 403
    assert f'method="{DEPLOYMENTS}/CreateDeployment"' in text
    assert 'sealift_deploy_duration_seconds_count{outcome="superseded"} 1.0' in text
    assert made.deployment_id not in text


async def test_metrics_by_setting(tmp_path: Any, restate: RecordingRestate) -> None:
    """Promise: http.metrics_from = "any" opens /metrics."""
    config = config_in(tmp_path, restate.url)
    config = msgspec.structs.replace(config, http=msgspec.structs.replace(config.http, metrics_from="any"))
    async with (
        running_api(config) as api,
        aiohttp.ClientSession(api.http) as http,
        http.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}) as response,
    ):
        assert response.status == 200


async def test_a_refusal_comes_after_a_small_request(api: RunningApi) -> None:
    """Promise: a refusal waits a moment for the rest of the request, so that a proxy does not cut it off; not for
    long, and not for a large one."""
    host, port = api.http.removeprefix("http://").split(":")
    head = "POST /sealift.ctrl.v1.ProjectService/ListProjects HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

    async def refused(length: int, first: bytes, then: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{head}Content-Length: {length}\r\n\r\n".encode() + first)
        if then:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.2)
            writer.write(then)
        status = await asyncio.wait_for(reader.readline(), WAIT_S)
        writer.close()
        return status

    assert b"401" in await refused(2, b"{", b"}")
    assert b"401" in await refused(2, b"", b"")
    assert b"401" in await refused(10**6, b"x" * (128 << 10), b"")
