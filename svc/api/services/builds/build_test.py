"""Uploads, builds and their logs through a real channel."""

import asyncio
import hashlib
from typing import Any

import aiohttp
import grpc
import pytest
from grpc import aio
from sqlalchemy import update
from yarl import URL

from pkg.builds import queries
from pkg.builds.model import BuildStatus
from pkg.builds.tables import contexts
from pkg.clock import now_ms
from pkg.storage.disk import DiskStore
from pkg.storage.disk.config import DiskConfig
from pkg.storage.signer import UrlSigner
from pkg.telemetry import BuildEvent, BuildLine, BuildStep, LogStream, StepState
from pkg.telemetry.events import MAX_LINE_BYTES
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import build_pb2 as pb
from sealift.ctrl.v1 import project_pb2
from svc.api.conftest import Upload, archive
from svc.api.testing import RecordingRestate, RunningApi, all_sent, eventually, refused

SHA = "a" * 64


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, str, str]:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return refused(caught.value)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"sha256": "A" * 64}, "sha256"),
        ({"sha256": "a" * 63}, "sha256"),
        ({"size_bytes": 0}, "size_bytes"),
        ({"size_bytes": (1 << 30) + 1}, "size_bytes"),
        ({"project_id": "x"}, "project_id"),
    ],
)
async def test_uploads_are_bounded(
    api: RunningApi, project: project_pb2.Project, fields: dict[str, Any], field: str
) -> None:
    """Promise: what may not be uploaded is refused before a byte is sent, naming the field and the limit."""
    sound = {"project_id": project.project_id, "sha256": SHA, "size_bytes": 1}
    request = pb.GenerateUploadURLRequest(**{**sound, **fields})
    status, _, named, message = await refusal(api.admin.build.GenerateUploadURL(request))
    assert (status, named) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    if fields.get("size_bytes"):
        assert "1073741824" in message
        assert "1024 MiB" in message


async def test_the_largest_upload_is_allowed(api: RunningApi, project: project_pb2.Project) -> None:
    """Promise: the limit itself is allowed."""
    request = pb.GenerateUploadURLRequest(project_id=project.project_id, sha256=SHA, size_bytes=1 << 30)
    assert (await api.admin.build.GenerateUploadURL(request)).upload_url


async def test_same_content_is_sent_once_per_project(
    api: RunningApi, project: project_pb2.Project, upload: Upload
) -> None:
    """Promise: content is deduplicated inside a project only, only while it is there, and its life is extended."""
    data = archive()
    sha256 = hashlib.sha256(data).hexdigest()
    request = pb.GenerateUploadURLRequest(project_id=project.project_id, sha256=sha256, size_bytes=len(data))
    first = await api.admin.build.GenerateUploadURL(request)
    assert not first.already_uploaded
    assert first.build_context_path == f"contexts/{project.project_id}/{sha256}.tar.gz"
    assert first.expires_in == 900
    # announced is not uploaded
    assert not (await api.admin.build.GenerateUploadURL(request)).already_uploaded
    await upload(project.project_id)
    await api.db.write(lambda c: c.execute(update(contexts).values(expires_at=now_ms() + 60_000)))
    again = await api.admin.build.GenerateUploadURL(request)
    assert (again.already_uploaded, again.upload_url) == (True, "")
    expires_at = await api.db.read(lambda c: c.execute(contexts.select()).one().expires_at)
    assert expires_at > now_ms() + 6 * 24 * 3600 * 1000
    other = (await api.admin.project.CreateProject(project_pb2.CreateProjectRequest(slug="other"))).project
    request.project_id = other.project_id
    assert not (await api.admin.build.GenerateUploadURL(request)).already_uploaded
    request.project_id = project.project_id
    assert isinstance(api.config.objects, DiskConfig)
    store = DiskStore(api.config.objects.root, UrlSigner(b"0" * 32), "http://unused")
    await store.delete(first.build_context_path)
    await store.close()
    assert not (await api.admin.build.GenerateUploadURL(request)).already_uploaded


async def test_wrong_content_is_not_taken(api: RunningApi, project: project_pb2.Project) -> None:
    """Promise: the URL takes exactly the announced bytes; without an upload there is no build."""
    data = archive()
    request = pb.GenerateUploadURLRequest(project_id=project.project_id, sha256=SHA, size_bytes=len(data))
    url = await api.admin.build.GenerateUploadURL(request)
    async with (
        aiohttp.ClientSession() as http,
        http.put(URL(url.upload_url, encoded=True), data=data) as response,
    ):
        assert response.status == 400
        assert "sha256" in await response.text()
    create = pb.CreateBuildRequest(
        project_id=project.project_id, build_context=pb.BuildContext(build_context_path=url.build_context_path)
    )
    assert (await refusal(api.admin.build.CreateBuild(create)))[1] == "context.not_found"


@pytest.mark.parametrize(
    ("context", "field"),
    [
        (pb.BuildContext(build_args={"1A": ""}), "build_context.build_args"),
        (pb.BuildContext(build_args={f"A{n}": "" for n in range(65)}), "build_context.build_args"),
        (pb.BuildContext(build_args={"A": "a\0b"}), "build_context.build_args[A]"),
        (pb.BuildContext(secrets=[pb.BuildSecret(id="a/b")]), "build_context.secrets[0].id"),
        (pb.BuildContext(secrets=[pb.BuildSecret(id="a"), pb.BuildSecret(id="a")]), "build_context.secrets[1].id"),
        (pb.BuildContext(secrets=[pb.BuildSecret(id="a", value=b"x" * 65537)]), "build_context.secrets[0].value"),
        (pb.BuildContext(secrets=[pb.BuildSecret(id=f"s{n}") for n in range(33)]), "build_context.secrets"),
        (pb.BuildContext(target=""), "build_context.target"),
        (pb.BuildContext(platform="windows/amd64"), "build_context.platform"),
        (pb.BuildContext(platform="linux/arm64/v8"), "build_context.platform"),
    ],
)
async def test_builds_are_bounded(
    api: RunningApi, project: project_pb2.Project, upload: Upload, context: pb.BuildContext, field: str
) -> None:
    """Promise: every input of a build has a bound and a refusal that names it."""
    context.build_context_path = await upload(project.project_id)
    request = pb.CreateBuildRequest(project_id=project.project_id, build_context=context)
    status, _, named, _ = await refusal(api.admin.build.CreateBuild(request))
    assert (status, named) == (grpc.StatusCode.INVALID_ARGUMENT, field)


@pytest.mark.parametrize(("sent", "stored"), [("/linux/arm64", "linux/arm64"), ("dynamic", ""), ("", "")])
async def test_what_a_build_was_asked_for_is_kept(
    api: RunningApi, project: project_pb2.Project, upload: Upload, sent: str, stored: str
) -> None:
    """Promise: platform and no_cache are recorded; "dynamic" and "" leave the platform to the builder."""
    context = pb.BuildContext(build_context_path=await upload(project.project_id), platform=sent, no_cache=True)
    request = pb.CreateBuildRequest(project_id=project.project_id, build_context=context)
    made = (await api.admin.build.CreateBuild(request)).build
    assert (made.platform, made.no_cache) == (stored, True)
    assert (await api.admin.build.GetBuild(pb.GetBuildRequest(build_id=made.build_id))).build == made


@pytest.fixture
async def build(api: RunningApi, project: project_pb2.Project, upload: Upload) -> pb.Build:
    context = pb.BuildContext(build_context_path=await upload(project.project_id))
    request = pb.CreateBuildRequest(project_id=project.project_id, build_context=context, idempotency_key="b1")
    answer = await api.admin.build.CreateBuild(request)
    again = await api.admin.build.CreateBuild(request)
    assert (again.build, again.already_recorded) == (answer.build, True)
    found: pb.Build = answer.build
    return found


async def test_a_build_of_its_own_is_dispatched(
    api: RunningApi, build: pb.Build, project: project_pb2.Project, restate: RecordingRestate
) -> None:
    """Promise: CreateBuild records and dispatches once; it is listed and read."""
    await eventually(lambda: restate.count("Build", "run", build.build_id) == 1, "dispatched")
    listed = await api.admin.build.ListBuilds(pb.ListBuildsRequest(project_id=project.project_id))
    assert list(listed.builds) == [build]
    await all_sent(api)
    await api.admin.build.CancelBuild(pb.CancelBuildRequest(build_id=build.build_id))
    await eventually(lambda: restate.count("Build", "stop", build.build_id) == 1, "the builder is notified")


def line(text: str, seq: int) -> BuildEvent:
    return BuildEvent(1, seq, now_ms(), BuildLine("s1", LogStream.STDOUT, text))


async def test_logs_are_followed_to_the_last_line(api: RunningApi, build: pb.Build) -> None:
    """Promise: no line is missed or repeated, with any number of writers; the ended build comes last."""
    telemetry = api.config.telemetry.open()  # another process
    step = BuildEvent(1, 1, now_ms(), BuildStep("s1", "[1/1] RUN x", StepState.STARTED, now_ms()))
    await telemetry.builds.append(build.build_id, [step, line("0", 2)])
    call = api.admin.build.GetBuildLogs(pb.GetBuildLogsRequest(build_id=build.build_id, follow=True))
    seen: list[pb.GetBuildLogsResponse] = []

    async def read() -> None:
        async with asyncio.timeout(WAIT_S):
            async for message in call:
                seen.append(message)  # noqa: PERF401 - looked at while it grows

    reader = asyncio.create_task(read())
    await eventually(lambda: len(seen) == 2, "what there is comes at once")
    for first in range(1, 2000, 100):
        await telemetry.builds.append(build.build_id, [line(str(n), n + 2) for n in range(first, first + 100)])
    # the last lines and the end come in the same breath
    await telemetry.builds.append(build.build_id, [line("last", 2003)])
    await api.db.write(queries.finish, build.build_id, BuildStatus.FAILED, now_ms(), error_code="build.command_failed")
    await reader
    await telemetry.close()
    texts = [message.line.text for message in seen if message.HasField("line")]
    assert texts == [str(n) for n in range(2001)] + ["last"]
    assert [message.seq for message in seen[:-1]] == list(range(1, len(seen)))
    assert seen[0].step.name == "[1/1] RUN x"
    end = seen[-1].end
    assert (end.status, end.error.code) == (pb.BUILD_STATUS_FAILED, "build.command_failed")


async def test_lines_come_together_if_asked_for(api: RunningApi, build: pb.Build) -> None:
    """Promise: with batched, a message holds many events, all in order, and never more than a client takes."""
    telemetry = api.config.telemetry.open()
    long = "x" * MAX_LINE_BYTES
    for first in range(1, 1000, 100):
        await telemetry.builds.append(
            build.build_id, [line(long if n > 900 else str(n), n) for n in range(first, first + 100)]
        )
    await telemetry.close()
    call = api.admin.build.GetBuildLogs(pb.GetBuildLogsRequest(build_id=build.build_id, batched=True))
    async with asyncio.timeout(WAIT_S):
        messages = [message async for message in call]
    assert len(messages) < 15
    assert max(message.ByteSize() for message in messages) < 300 << 10
    assert [event.seq for message in messages for event in (message, *message.following)] == list(range(1, 1001))


async def test_logs_resume(api: RunningApi, build: pb.Build) -> None:
    """Promise: after_seq resumes exactly; without follow the stream ends with what there is."""
    telemetry = api.config.telemetry.open()
    await telemetry.builds.append(build.build_id, [line(str(n), n + 1) for n in range(10)])
    await telemetry.close()
    call = api.admin.build.GetBuildLogs(pb.GetBuildLogsRequest(build_id=build.build_id, after_seq=7))
    async with asyncio.timeout(WAIT_S):
        assert [message.line.text async for message in call] == ["7", "8", "9"]
    async with asyncio.timeout(WAIT_S):
        past = api.admin.build.GetBuildLogs(pb.GetBuildLogsRequest(build_id=build.build_id, after_seq=99))
        assert [message async for message in past] == []


async def test_steps_can_be_read_without_lines(api: RunningApi, build: pb.Build) -> None:
    """Promise: with steps_only, no line is sent."""
    telemetry = api.config.telemetry.open()
    step = BuildEvent(1, 11, now_ms(), BuildStep("s1", "[1/1] RUN x", StepState.CACHED, now_ms()))
    await telemetry.builds.append(build.build_id, [*(line(str(n), n + 1) for n in range(10)), step])
    await telemetry.close()
    call = api.admin.build.GetBuildLogs(pb.GetBuildLogsRequest(build_id=build.build_id, steps_only=True))
    async with asyncio.timeout(WAIT_S):
        found = [message async for message in call]
    assert [(message.seq, message.step.name) for message in found] == [(11, "[1/1] RUN x")]
