"""The log: one line per call, one vocabulary, no secret."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from pkg.auth.testing import MESSAGES, METHODS
from pkg.observability.log_fields import EVERY_LINE, NEVER, OWN
from pkg.observability.logging import JsonFormatter
from sealift.ctrl.v1 import (
    build_pb2,
    cluster_pb2,
    common_pb2,
    deployment_pb2,
    environment_pb2,
    key_pb2,
    options_pb2,
    project_pb2,
    routing_pb2,
    stats_pb2,
)
from svc.api.conftest import Upload
from svc.api.rpc.logged import logged_fields
from svc.api.testing import RunningApi


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """Every line of svc.api, as it is written."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter("api", "inst-test"))
    root = logging.getLogger("svc.api")
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    found: list[dict[str, Any]] = []
    handler.stream = _Lines(found)
    yield found
    root.removeHandler(handler)
    root.setLevel(before)


class _Lines(io.StringIO):
    def __init__(self, found: list[dict[str, Any]]) -> None:
        super().__init__()
        self._found = found

    def write(self, text: str) -> int:
        self._found += [json.loads(line) for line in text.splitlines() if line]
        return len(text)


def field_names() -> set[str]:
    names: set[str] = set()
    for file in (
        build_pb2, cluster_pb2, common_pb2, deployment_pb2, environment_pb2, key_pb2, project_pb2, routing_pb2,
        stats_pb2,
    ):  # fmt: skip
        for message in file.DESCRIPTOR.message_types_by_name.values():
            names |= set(message.fields_by_name)
    return names


def test_the_access_log_tells_what_the_protos_mark() -> None:
    """Promise: ids and names, of the request and of the build context in it; nothing else, and nothing redacted."""
    request = deployment_pb2.CreateDeploymentRequest(
        project_id="proj_1",
        environment_slug="production",
        build_context=build_pb2.BuildContext(
            build_context_path="contexts/x", build_args={"A": "b"}, secrets=[build_pb2.BuildSecret(id="s", value=b"v")]
        ),
        git_commit=deployment_pb2.GitCommit(commit_message="a private message"),
        variables={"KEY": "value"},
    )
    assert logged_fields(request) == {
        "project_id": "proj_1", "environment_slug": "production", "build_context_path": "contexts/x",
    }  # fmt: skip
    assert logged_fields(key_pb2.CreateKeyRequest(name="ci", region="x" * 300)) == {"region": "x" * 256}


def test_the_access_log_has_no_fewer_fields_than_before() -> None:
    """Promise: every id and name by which calls are searched is in their log lines, in each request that has it."""
    names = {
        "deployment_id", "build_id", "project_id", "environment_id", "operation_id", "environment_slug", "branch",
        "docker_image", "hostname", "region", "key_id", "slug",
    }  # fmt: skip
    for method in METHODS:
        for field in method.input_type.fields:
            if field.name in names and field.message_type is None:
                request: Any = GetMessageClass(method.input_type)()
                setattr(request, field.name, "x")
                assert logged_fields(request) == {field.name: "x"}, field.full_name


def test_secret_fields_are_redacted_and_never_logged() -> None:
    """Promise: what may hold a secret is marked debug_redact, is not marked as logged, and is in no log line."""
    fields = [field for message in MESSAGES for field in message.fields]
    redacted = {field.full_name.removeprefix("sealift.ctrl.v1.") for field in fields if field.GetOptions().debug_redact}
    assert redacted == {
        "BuildSecret.value", "Certificate.private_key_pem", "CreateDeploymentRequest.variables",
        "CreateKeyResponse.secret", "ExecInput.stdin", "ExecOutput.stderr", "ExecOutput.stdout", "ExecStart.command",
        "GenerateUploadURLResponse.upload_url", "Topology.variables", "UpdateEnvironmentRequest.set_variables",
    }  # fmt: skip
    for field in fields:
        if field.GetOptions().debug_redact:
            assert not field.GetOptions().Extensions[options_pb2.logged], field.full_name
            assert field.name in NEVER, field.full_name


async def test_one_vocabulary_with_concrete_values(
    lines: list[dict[str, Any]], api: RunningApi, project: project_pb2.Project, upload: Upload
) -> None:
    """Promise: deployment_id, build_id, project_id, build_context_path, docker_image, platform: nothing else."""
    path = await upload(project.project_id)
    request = deployment_pb2.CreateDeploymentRequest(
        project_id=project.project_id,
        environment_slug="production",
        build_context=build_pb2.BuildContext(
            build_context_path=path,
            platform="linux/amd64",
            secrets=[build_pb2.BuildSecret(id="s", value=b"hunter2-secret")],
        ),
        git_commit=deployment_pb2.GitCommit(commit_message="a private message"),
    )
    made = (await api.admin.deployment.CreateDeployment(request, metadata=(("x-request-id", "req-mine"),))).deployment
    request.docker_image = "nginx:1.27"
    await api.admin.deployment.CreateDeployment(request)
    created = [line for line in lines if line["msg"] == "deployment created"]
    assert created[0]["request_id"] == "req-mine"
    assert created[0]["deployment_id"] == made.deployment_id
    assert created[0]["build_id"] == made.build_id
    assert created[0]["project_id"] == project.project_id
    assert created[0]["build_context_path"] == path
    assert created[0]["platform"] == "linux/amd64"
    assert created[1]["docker_image"] == "nginx:1.27"
    access = next(line for line in lines if line["msg"] == "rpc" and line["request_id"] == "req-mine")
    assert access["method"] == "/sealift.ctrl.v1.DeploymentService/CreateDeployment"
    assert (access["grpc_status"], access["build_context_path"]) == ("OK", path)
    assert access["service.instance.id"] == "inst-test"
    assert access["duration_ms"] > 0
    text = json.dumps(lines)
    assert "hunter2" not in text
    assert "a private message" not in text
    assert api.admin_key not in text
    assert "signature=" not in text
    vocabulary = EVERY_LINE | set(OWN) | (field_names() - NEVER)
    for line in lines:
        assert set(line) <= vocabulary, set(line) - vocabulary


async def test_internal_errors_tell_their_request_id_only(
    lines: list[dict[str, Any]], api: RunningApi, project: project_pb2.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: the caller of a failed call gets a request id, the log the rest."""
    from svc.api.services.deployments import views

    def broken(*_: object) -> None:
        raise RuntimeError("the password is tr0ub4dor")

    monkeypatch.setattr(views, "silences", broken)
    with pytest.raises(aio.AioRpcError) as caught:
        await api.admin.deployment.CreateDeployment(
            deployment_pb2.CreateDeploymentRequest(
                project_id=project.project_id, environment_slug="production", docker_image="nginx"
            ),
            metadata=(("x-request-id", "req-broken"),),
        )
    assert "tr0ub4dor" not in str(caught.value)
    assert "req-broken" in (caught.value.details() or "")
    logged = next(line for line in lines if line.get("exc"))
    assert logged["request_id"] == "req-broken"
    assert "tr0ub4dor" in logged["exc"]
