"""One api per test, on real sockets; Restate replaced by a recording stand-in."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from google.protobuf.message import Message
from yarl import URL

from sealift.ctrl.v1 import build_pb2, deployment_pb2, project_pb2
from svc.api.testing import RecordingRestate, RunningApi, config_in, recording_restate, running_api


@pytest.fixture
async def restate() -> AsyncIterator[RecordingRestate]:
    async with recording_restate() as one:
        yield one


@pytest.fixture
async def api(tmp_path: Path, restate: RecordingRestate) -> AsyncIterator[RunningApi]:
    async with running_api(config_in(tmp_path, restate.url)) as one:
        yield one


@pytest.fixture
async def project(api: RunningApi) -> project_pb2.Project:
    answer = await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="hello"))
    found: project_pb2.Project = answer.project
    return found


def archive(content: bytes = b"FROM scratch\n") -> bytes:
    """A small tar.gz with a Dockerfile."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


Upload = Callable[..., Awaitable[str]]


@pytest.fixture
def upload(api: RunningApi) -> Upload:
    """Uploads an archive for a project as the CLI does; the path."""

    async def run(project_id: str, content: bytes = b"FROM scratch\n") -> str:
        data = archive(content)
        sha256 = hashlib.sha256(data).hexdigest()
        answer = await api.admin.build.GenerateUploadURL(
            build_pb2.GenerateUploadURLRequest(project_id=project_id, sha256=sha256, size_bytes=len(data))
        )
        if not answer.already_uploaded:
            async with (
                aiohttp.ClientSession() as http,
                http.put(URL(answer.upload_url, encoded=True), data=data) as response,
            ):
                assert response.status == 200, await response.text()
        return str(answer.build_context_path)

    return run


Deploy = Callable[..., Awaitable[deployment_pb2.Deployment]]


@pytest.fixture
def deploy(api: RunningApi, project: project_pb2.Project) -> Deploy:
    """Records a deployment of an image into production; fields may be overridden."""

    async def run(**fields: object) -> deployment_pb2.Deployment:
        request = deployment_pb2.CreateDeploymentRequest(
            project_id=project.project_id, environment_slug="production", docker_image="nginx:1.27"
        )
        for name, value in fields.items():
            if isinstance(value, Message):
                getattr(request, name).CopyFrom(value)
            elif isinstance(value, dict):
                getattr(request, name).update(value)
            else:
                setattr(request, name, value)
        answer = await api.admin.deployment.CreateDeployment(request)
        found: deployment_pb2.Deployment = answer.deployment
        return found

    return run
