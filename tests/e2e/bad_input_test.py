"""Promise: bad input is refused with the cause and the next step, the right exit code, and nothing left behind."""

import asyncio
import hashlib
import http.client
import time
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest

from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import build_pb2, build_pb2_grpc, project_pb2, project_pb2_grpc
from tests.harness import apps
from tests.harness.checks import assert_no_file
from tests.harness.stack import CliResult, Stack

USAGE, FAILED, NOT_FOUND_CODES = 2, 1, (1, 2)


def _deploy(stack: Stack, directory: Path, project: str, tmp_path: Path, *more: str) -> CliResult:
    """A deploy whose temporary files would be found."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = stack.sealift(
        "deploy", str(directory), "--project", project, "--json", *more, env={"TMPDIR": str(scratch)}, timeout_s=110
    )
    assert_no_file(scratch)
    return done


def test_unknown_project(stack: Stack, tmp_path: Path) -> None:
    done = _deploy(stack, apps.app(tmp_path / "app"), "no-such-project", tmp_path)
    assert done.code in NOT_FOUND_CODES
    assert "no-such-project" in done.err
    assert "projects create" in done.err or "init" in done.err


def test_unknown_environment(stack: Stack, project: str, tmp_path: Path) -> None:
    done = _deploy(stack, apps.app(tmp_path / "app"), project, tmp_path, "--env", "nowhere")
    assert done.code in NOT_FOUND_CODES
    assert "nowhere" in done.err
    assert "production" in done.err


def test_no_dockerfile(stack: Stack, project: str, tmp_path: Path) -> None:
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "notes.txt").write_text("nothing that is known\n")
    done = _deploy(stack, directory, project, tmp_path)
    assert done.code == USAGE
    assert "Dockerfile" in done.err
    assert "--dockerfile" in done.err


def test_dockerfile_outside_the_context(stack: Stack, project: str, tmp_path: Path) -> None:
    directory = apps.app(tmp_path / "app")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    done = _deploy(stack, directory, project, tmp_path, "--dockerfile", "../Dockerfile")
    assert done.code == USAGE
    assert "../Dockerfile" in done.err


def test_empty_directory(stack: Stack, project: str, tmp_path: Path) -> None:
    directory = tmp_path / "app"
    directory.mkdir()
    done = _deploy(stack, directory, project, tmp_path)
    assert done.code == USAGE
    assert "empty" in done.err


def test_symlink_escape(stack: Stack, project: str, tmp_path: Path) -> None:
    directory = apps.app(tmp_path / "app")
    (directory / "passwords").symlink_to("/etc/shadow")
    done = _deploy(stack, directory, project, tmp_path)
    assert done.code == USAGE
    assert "passwords" in done.err


@pytest.mark.timeout(600)
def test_three_gigabytes(stack: Stack, project: str, tmp_path: Path) -> None:
    """A context far too large is refused early, naming the limit and what is large; no archive stays."""
    directory = apps.app(tmp_path / "app")
    with (directory / "huge.bin").open("wb") as file:
        file.truncate(3 << 30)
    done = _deploy(stack, directory, project, tmp_path)
    assert done.code != 0
    assert "huge.bin" in done.err + done.last_json["message"]
    assert "ready" not in done.last_json["status"]


class _Api:
    """The api as a program of one's own would use it."""

    def __init__(self, stack: Stack) -> None:
        self._channel = grpc.insecure_channel(stack.endpoints["api"])
        self._auth = (("authorization", f"Bearer {(stack.state / 'secrets/admin.key').read_text().strip()}"),)
        self.builds = build_pb2_grpc.BuildServiceStub(self._channel)
        self.projects = project_pb2_grpc.ProjectServiceStub(self._channel)

    def __enter__(self) -> "_Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def project_id(self, slug: str) -> str:
        found = self.projects.GetProject(project_pb2.GetProjectRequest(slug=slug), metadata=self._auth, timeout=WAIT_S)
        return str(found.project.project_id)

    def upload_url(
        self, project_id: str, content: bytes, size: int | None = None
    ) -> build_pb2.GenerateUploadURLResponse:
        request = build_pb2.GenerateUploadURLRequest(
            project_id=project_id,
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content) if size is None else size,
        )
        made: build_pb2.GenerateUploadURLResponse
        made = self.builds.GenerateUploadURL(request, metadata=self._auth, timeout=WAIT_S)
        return made

    def create_build(self, project_id: str, path: str) -> build_pb2.CreateBuildResponse:
        context = build_pb2.BuildContext(build_context_path=path)
        request = build_pb2.CreateBuildRequest(project_id=project_id, build_context=context)
        made: build_pb2.CreateBuildResponse = self.builds.CreateBuild(request, metadata=self._auth, timeout=WAIT_S)
        return made


def _put(url: str, content: bytes) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=WAIT_S)
    try:
        connection.request("PUT", f"{parts.path}?{parts.query}", body=content)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("size", [0, 3 << 30])
def test_archive_of_no_or_too_many_bytes(stack: Stack, project: str, size: int) -> None:
    with _Api(stack) as api, pytest.raises(grpc.RpcError) as refused:
        api.upload_url(api.project_id(project), b"x", size)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "size_bytes" in refused.value.details()


def test_upload_of_other_content(stack: Stack, project: str) -> None:
    """An address takes exactly the announced bytes: neither others, nor more, nor fewer; and nothing is stored."""
    with _Api(stack) as api:
        project_id = api.project_id(project)
        announced = b"announced content"
        address = api.upload_url(project_id, announced)
        assert _put(address.upload_url, b"different content"[: len(announced)]) == 400
        assert _put(address.upload_url, announced + b"more") in (400, 413)
        with pytest.raises(grpc.RpcError) as refused:
            api.create_build(project_id, address.build_context_path)
        assert "upload" in refused.value.details()
        assert not api.upload_url(project_id, announced).already_uploaded


def test_upload_address_that_expired_or_was_changed(stack: Stack, project: str) -> None:
    from pkg.storage.disk import DiskStore
    from pkg.storage.signer import UrlSigner

    async def expired() -> str:
        key = (stack.state / "secrets" / "urls.key").read_bytes()
        store = DiskStore(
            stack.state / "objects", UrlSigner(key, now=lambda: time.time() - 60), f"http://{stack.endpoints['http']}"
        )
        content = b"late"
        return store.presign_put(
            "contexts/proj_x/late.tar.gz", size_bytes=4, sha256=hashlib.sha256(content).hexdigest(), ttl_s=30
        ).url

    assert _put(asyncio.run(expired()), b"late") == 403
    with _Api(stack) as api:
        address = api.upload_url(api.project_id(project), b"content").upload_url
    assert _put(address.replace("contexts/", "other/", 1), b"content") == 403
    assert _put(address.replace("contexts/", "contexts/../../../../tmp/", 1), b"content") in (400, 403, 404)


def test_context_of_another_project(stack: Stack, project: str) -> None:
    """A context can be built by its own project only, and only once it was uploaded."""
    other = f"{project}-x"
    assert stack.sealift("projects", "create", other).code == 0
    with _Api(stack) as api:
        mine, theirs = api.project_id(project), api.project_id(other)
        address = api.upload_url(theirs, b"theirs")
        assert _put(address.upload_url, b"theirs") in (200, 201)
        with pytest.raises(grpc.RpcError) as refused:
            api.create_build(mine, address.build_context_path)
        assert refused.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
        assert not api.upload_url(mine, b"theirs").already_uploaded
