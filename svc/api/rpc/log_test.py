"""The log: one line per call, one vocabulary, no secret."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from grpc import aio

from pkg.observability.log_fields import EVERY_LINE, NEVER, OWN
from pkg.observability.logging import JsonFormatter
from sealift.ctrl.v1 import (
    build_pb2,
    cluster_pb2,
    common_pb2,
    deployment_pb2,
    environment_pb2,
    key_pb2,
    project_pb2,
    routing_pb2,
)
from svc.api.conftest import Upload
from svc.api.rpc.pipeline import LOGGED_CONTEXT_FIELDS, LOGGED_FIELDS
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
    ):  # fmt: skip
        for message in file.DESCRIPTOR.message_types_by_name.values():
            names |= set(message.fields_by_name)
    return names


def test_the_access_log_uses_field_names() -> None:
    """Promise: what the access log tells of a request is called as in the protos."""
    assert set(LOGGED_FIELDS) | set(LOGGED_CONTEXT_FIELDS) <= field_names()


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
    said = json.dumps(lines)
    assert "hunter2" not in said
    assert "a private message" not in said
    assert api.admin_key not in said
    assert "signature=" not in said
    words = EVERY_LINE | set(OWN) | (field_names() - NEVER)
    for line in lines:
        assert set(line) <= words, set(line) - words


async def test_internal_errors_tell_their_request_id_only(
    lines: list[dict[str, Any]], api: RunningApi, project: project_pb2.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: the caller of a failed call gets a request id, the log the rest."""
    from svc.api.services.deployments import views

    def broken(*_: object) -> None:
        raise RuntimeError("the password is tr0ub4dor")

    monkeypatch.setattr(views, "live_deployment_id", broken)
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
