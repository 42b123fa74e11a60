"""Promise: with build contexts in S3 everything works as with the folder, through the command line.

The S3 server verifies signatures; the engine's BuildKit is whatever the machine has, so contexts come through the api.
"""

import contextlib
import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
from click.testing import CliRunner

from dev.build_backend import variables
from dev.build_backend.__main__ import main
from pkg.builders.testing import SHELL, context
from pkg.storage.s3.testing import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION, S3Front, SwiftServer, fronted_in_thread
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import build_pb2, build_pb2_grpc, project_pb2, project_pb2_grpc
from tests.harness import apps
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

BUCKET = "build-contexts"


@pytest.fixture(scope="module")
def front() -> Iterator[S3Front]:
    with SwiftServer() as server, fronted_in_thread(server) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def stack(engine_socket: str, front: S3Front) -> Iterator[Stack]:
    """A stack of its own: the setting is the supervisor's."""
    objects = (
        f'[objects]\nbackend = "s3"\nurl = "{front.url}"\nexternal_url = "{front.url}"\nregion = "{REGION}"\n'
        f'bucket = "{BUCKET}"\naccess_key_id = "{ACCESS_KEY_ID}"\naccess_key_secret = "{ACCESS_KEY_SECRET}"\n'
    )
    with Stack(engine_socket, toml=objects) as one:
        yield one


def test_the_bucket_of_a_first_setup(front: S3Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """dev/setup-build-backend accepts a bucket that is not there yet, and refuses a secret that is not the key's."""
    monkeypatch.setattr(variables, "FILE", tmp_path / ".env")
    arguments = ["docker", "--s3-url", front.url, "--s3-bucket", "first-setup", "--s3-access-key-id", ACCESS_KEY_ID]
    for secret, code in (("wrong", 1), (ACCESS_KEY_SECRET, 0), (ACCESS_KEY_SECRET, 0)):
        done = CliRunner().invoke(main, arguments, env={"SEALIFT_BUILD_S3_ACCESS_KEY_SECRET": secret})
        assert done.exit_code == code, done.output
    assert variables.read(tmp_path / ".env")["SEALIFT_BUILD_S3_BUCKET"] == "first-setup"


@pytest.fixture(autouse=True)
def healthy(front: S3Front) -> Iterator[None]:
    front.seen.clear()
    yield
    front.is_away, front.goes_away_at, front.refused_puts = False, "", 0


class Client:
    """A client of BuildService that does what the CLI doesn't."""

    def __init__(self, stack: Stack, slug: str) -> None:
        self._channel = grpc.insecure_channel(stack.endpoints["api"])
        self._auth = (("authorization", f"Bearer {(stack.state / 'secrets/admin.key').read_text().strip()}"),)
        self._builds = build_pb2_grpc.BuildServiceStub(self._channel)
        projects = project_pb2_grpc.ProjectServiceStub(self._channel)
        found = projects.GetProject(project_pb2.GetProjectRequest(slug=slug), metadata=self._auth, timeout=WAIT_S)
        self.project_id = found.project.project_id

    def close(self) -> None:
        self._channel.close()

    def announce(self, content: bytes) -> build_pb2.GenerateUploadURLResponse:
        request = build_pb2.GenerateUploadURLRequest(
            project_id=self.project_id, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
        )
        made: build_pb2.GenerateUploadURLResponse
        made = self._builds.GenerateUploadURL(request, metadata=self._auth, timeout=WAIT_S)
        return made

    def build(self, path: str) -> build_pb2.Build:
        """Builds the context to its end."""
        request = build_pb2.CreateBuildRequest(
            project_id=self.project_id, build_context=build_pb2.BuildContext(build_context_path=path)
        )
        made = self._builds.CreateBuild(request, metadata=self._auth, timeout=WAIT_S).build

        def ended() -> build_pb2.Build | None:
            asked = build_pb2.GetBuildRequest(build_id=made.build_id)
            build: build_pb2.Build = self._builds.GetBuild(asked, metadata=self._auth, timeout=WAIT_S).build
            return build if build.ended_at else None

        return eventually(ended, within_s=60, what="the build has ended")


@pytest.fixture
def client(stack: Stack, project: str) -> Iterator[Client]:
    one = Client(stack, project)
    yield one
    one.close()


def send(url: str, content: bytes) -> int:
    parts = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=WAIT_S)) as connection:
        connection.request("PUT", f"{parts.path}?{parts.query}", body=content)
        return connection.getresponse().status


def puts(front: S3Front, folder: str) -> list[str]:
    """The PUTs so far to one folder of the bucket."""
    return [line for line in front.seen if line.startswith(f"PUT /{BUCKET}/{folder}/")]


def test_deploy_and_deploy_again(stack: Stack, project: str, front: S3Front, tmp_path: Path) -> None:
    """A directory becomes live; unchanged, nothing is sent; changed, one upload and one context more."""
    directory = apps.app(tmp_path / "app", "one")
    first = stack.deploy(directory, project)
    assert first.code == 0, first.err
    assert stack.get(project).body == "one"
    assert (len(puts(front, "uploads")), len(puts(front, "contexts"))) == (1, 1)
    again = stack.deploy(directory, project)
    assert again.code == 0, again.err
    assert (len(puts(front, "uploads")), len(puts(front, "contexts"))) == (1, 1)
    apps.edit(directory, "two")
    assert stack.deploy(directory, project).code == 0
    assert stack.get(project).body == "two"
    assert (len(puts(front, "uploads")), len(puts(front, "contexts"))) == (2, 2)
    assert stack.rows("SELECT count(*) FROM uploads") == [(0,)]


def test_bytes_that_change_after_the_check(client: Client, front: S3Front) -> None:
    """Two clients upload different bytes for one content: the true ones are built, before and after a second PUT."""
    true = context({"Dockerfile": SHELL + "RUN echo true\n"})
    false = bytes(len(true))
    attacker, honest = client.announce(true), client.announce(true)
    assert attacker.build_context_path == honest.build_context_path
    assert attacker.upload_url != honest.upload_url
    assert send(attacker.upload_url, false) == 200
    assert send(honest.upload_url, true) == 200
    built = client.build(honest.build_context_path)
    assert built.status == build_pb2.BUILD_STATUS_SUCCEEDED, built.error
    assert client.announce(true).already_uploaded
    for url in (attacker.upload_url, honest.upload_url):
        assert send(url, false) == 200
    again = client.build(honest.build_context_path)
    assert (again.status, again.image_ref) == (build_pb2.BUILD_STATUS_SUCCEEDED, built.image_ref)
    assert len(puts(front, "contexts")) == 1


def test_only_wrong_bytes(client: Client) -> None:
    """The build fails before a builder sees anything, and says what is wrong."""
    true = context({"Dockerfile": SHELL + "RUN echo never sent\n"})
    upload = client.announce(true)
    assert send(upload.upload_url, bytes(len(true))) == 200
    failed = client.build(upload.build_context_path)
    assert (failed.status, failed.error.code) == (build_pb2.BUILD_STATUS_FAILED, "context.wrong_content")
    assert hashlib.sha256(true).hexdigest() in failed.error.message


def test_an_expired_upload_url(stack: Stack, project: str, front: S3Front, tmp_path: Path) -> None:
    """The CLI asks for another one by itself."""
    front.refused_puts = 1
    done = stack.deploy(apps.app(tmp_path / "app", "late"), project)
    assert done.code == 0, done.err
    assert len(puts(front, "uploads")) == 2
    assert stack.get(project).body == "late"


@pytest.mark.parametrize("moment", ["GET /uploads/", "GET /contexts/"], ids=["check", "build"])
def test_a_server_that_is_away_for_a_while(
    stack: Stack, project: str, front: S3Front, tmp_path: Path, moment: str
) -> None:
    """It goes away when the worker checks, or when the builder fetches: the deploy ends right, and built once."""
    front.goes_away_at = moment
    deploying = stack.start_cli("deploy", str(apps.app(tmp_path / "app", "back")), "--project", project, "--json")
    eventually(lambda: front.is_away, within_s=60, what="the server is away in the middle of the deploy")
    refused = len(front.seen)
    eventually(lambda: len(front.seen) > refused + 12, within_s=60, what="the deploy goes on trying")
    front.is_away = False
    done = finish(deploying, timeout_s=120)
    assert done.code == 0, done.err
    assert stack.get(project).body == "back"
    statuses = "SELECT b.status FROM builds b JOIN projects p ON p.id = b.project_id WHERE p.slug = ?"
    assert stack.rows(statuses, project) == [("succeeded",)]
    assert len(puts(front, "contexts")) == 1


def test_contexts_are_cleaned_up(stack: Stack, client: Client, front: S3Front) -> None:
    """An expired context and an abandoned upload leave the bucket with the worker's next sweep."""
    content = context({"Dockerfile": SHELL})
    built = client.announce(content)
    assert send(built.upload_url, content) == 200
    assert client.build(built.build_context_path).status == build_pb2.BUILD_STATUS_SUCCEEDED
    other = context({"Dockerfile": SHELL + "RUN echo abandoned\n"})
    assert send(client.announce(other).upload_url, other) == 200
    stack.change("UPDATE contexts SET expires_at = 1 WHERE project_id = ?", client.project_id)
    stack.change("UPDATE uploads SET expires_at = 1")
    stack.kill("worker")  # it sweeps 10 s after its start
    eventually(
        lambda: stack.rows("SELECT count(*) FROM uploads") == [(0,)], within_s=60, what="the abandoned upload is gone"
    )
    eventually(lambda: not client.announce(content).already_uploaded, what="the context is gone")
    deleted = [line for line in front.seen if line.startswith("DELETE ") and client.project_id in line]
    eventually(lambda: len(deleted) >= 2, what="both objects are deleted")


def test_no_log_has_a_key_or_a_signature(stack: Stack) -> None:
    """What signs and what is signed is in no log, and in no row that users read."""
    texts = {path.name: path.read_text(errors="replace") for path in (stack.state / "logs").glob("*")}
    texts["errors"] = json.dumps(stack.rows("SELECT error_message FROM builds"))
    for name, text in texts.items():
        for secret in ("X-Amz-Signature", "AWS4-HMAC", f'"{ACCESS_KEY_SECRET}"', "signature="):
            assert secret not in text, name
