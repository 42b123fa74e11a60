"""Uploads to a store that can't bind them to their content, through a real channel and a real S3 server."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import grpc
import msgspec
import pytest
from grpc import aio
from yarl import URL

from pkg.storage.s3.store import S3Store
from pkg.storage.s3.testing import S3Front, SwiftServer, fronted
from sealift.ctrl.v1 import build_pb2 as pb
from sealift.ctrl.v1 import project_pb2
from svc.api.conftest import archive
from svc.api.testing import RecordingRestate, RunningApi, config_in, eventually, refused, running_api

ARCHIVE = archive()
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[SwiftServer]:
    with SwiftServer() as server:
        yield server


@pytest.fixture
async def front(s3_server: SwiftServer) -> AsyncIterator[S3Front]:
    async with fronted(s3_server) as proxy:
        yield proxy


@pytest.fixture
async def api(
    tmp_path: Path, restate: RecordingRestate, s3_server: SwiftServer, front: S3Front
) -> AsyncIterator[RunningApi]:
    section = s3_server.config(url=front.url, upload_url_ttl_s=77)
    config = msgspec.structs.replace(config_in(tmp_path, restate.url), objects=section)
    async with running_api(config) as one:
        await eventually(lambda: is_ready(one), "the bucket is made at the start")
        yield one


async def is_ready(api: RunningApi) -> bool:
    async with aiohttp.ClientSession() as http, http.get(f"{api.http}/health/ready") as response:
        return response.status == 200


async def announce(api: RunningApi, project: project_pb2.Project) -> pb.GenerateUploadURLResponse:
    request = pb.GenerateUploadURLRequest(project_id=project.project_id, sha256=SHA256, size_bytes=len(ARCHIVE))
    answer: pb.GenerateUploadURLResponse = await api.admin.build.GenerateUploadURL(request)
    return answer


async def send(url: str, content: bytes = ARCHIVE) -> int:
    async with aiohttp.ClientSession() as http, http.put(URL(url, encoded=True), data=content) as response:
        return response.status


async def create(api: RunningApi, project: project_pb2.Project, path: str, key: str) -> pb.CreateBuildResponse:
    request = pb.CreateBuildRequest(
        project_id=project.project_id, build_context=pb.BuildContext(build_context_path=path), idempotency_key=key
    )
    answer: pb.CreateBuildResponse = await api.admin.build.CreateBuild(request)
    return answer


async def test_clients_see_what_they_always_saw(api: RunningApi, project: project_pb2.Project) -> None:
    """Promise: any client uploads and builds as before; the address is random, the path that it names is not."""
    first, second = await announce(api, project), await announce(api, project)
    for answer in (first, second):
        assert answer.build_context_path == f"contexts/{project.project_id}/{SHA256}.tar.gz"
        assert (answer.already_uploaded, answer.expires_in) == (False, 77)
        assert f"/uploads/{project.project_id}/" in answer.upload_url
        assert SHA256 not in answer.upload_url
        assert parse_qs(urlsplit(answer.upload_url).query)["X-Amz-Expires"] == ["77"]
        assert not answer.upload_headers
    assert urlsplit(first.upload_url).path != urlsplit(second.upload_url).path
    with pytest.raises(aio.AioRpcError) as caught:
        await create(api, project, first.build_context_path, "a")
    assert refused(caught.value)[1] == "context.not_found"
    assert await send(second.upload_url, ARCHIVE + b"x") == 403
    assert await send(second.upload_url) == 200
    made = await create(api, project, first.build_context_path, "a")
    again = await create(api, project, first.build_context_path, "a")
    assert (again.build, again.already_recorded) == (made.build, True)
    assert made.build.build_context_path == first.build_context_path
    # only the worker's check makes it content of the project
    assert not (await announce(api, project)).already_uploaded
    store: S3Store = api.config.objects.open()  # type: ignore[assignment]
    upload = store.open_read(f"uploads/{urlsplit(second.upload_url).path.partition('/uploads/')[2]}")
    await store.put(first.build_context_path, upload, size_bytes=len(ARCHIVE), sha256=SHA256)
    await store.close()
    assert (await announce(api, project)).already_uploaded


async def test_a_server_that_is_away(api: RunningApi, project: project_pb2.Project, front: S3Front) -> None:
    """Promise: the call is refused as one that may succeed later, with the URL at fault; the api is not ready."""
    front.is_away = True
    with pytest.raises(aio.AioRpcError) as caught:
        await announce(api, project)
    status, code, _, message = refused(caught.value)
    assert (status, code) == (grpc.StatusCode.UNAVAILABLE, "object.unavailable")
    assert front.url in message
    assert not await is_ready(api)
    front.is_away = False
    assert await is_ready(api)
    assert (await announce(api, project)).upload_url


async def test_only_clients_that_can_get_headers(
    tmp_path: Path, restate: RecordingRestate, s3_server: SwiftServer, front: S3Front
) -> None:
    """Promise: where the server checks the sha256, new clients have it checked, and old ones upload as before."""
    front.checks_sha256 = True
    config = msgspec.structs.replace(config_in(tmp_path, restate.url), objects=s3_server.config(url=front.url))
    async with running_api(config) as api:
        await eventually(lambda: is_ready(api), "ready")
        project = (await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="hello"))).project
        old = await announce(api, project)
        assert await send(old.upload_url) == 200
        request = pb.GenerateUploadURLRequest(
            project_id=project.project_id, sha256=SHA256, size_bytes=len(ARCHIVE), sends_headers=True
        )
        new = await api.admin.build.GenerateUploadURL(request)
        assert list(new.upload_headers) == ["x-amz-checksum-sha256"]
        for content, status in ((bytes(len(ARCHIVE)), 400), (ARCHIVE, 200)):
            async with (
                aiohttp.ClientSession() as http,
                http.put(URL(new.upload_url, encoded=True), data=content, headers=new.upload_headers) as response,
            ):
                assert response.status == status
