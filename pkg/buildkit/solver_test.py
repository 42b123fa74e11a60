"""The solve against a control API of our own making, for what a real daemon does not do on demand."""

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as Detail
from google.rpc.status_pb2 import Status

from pkg.buildkit import follow, solver
from pkg.buildkit.channel import ChannelLostError, unix_channel, wait_ready
from pkg.buildkit.classification import classify
from pkg.buildkit.errors import SolveError
from pkg.buildkit.messages import Facts, explain
from pkg.buildkit.pb import control_pb2 as pb
from pkg.buildkit.solver import solve
from pkg.buildkit.status import Event
from pkg.buildkit.testing import SIGNED, Daemon, spec
from pkg.builds.bounds import of_processes
from pkg.builds.failures import FailureKind
from pkg.output.redact import Redactor
from pkg.testing.wait import WAIT_S

COMMAND = FailureKind.COMMAND_FAILED


async def ignore(events: Any) -> None:
    """A consumer that does not care."""


async def test_the_request(daemon: Daemon, channel: grpc.aio.Channel) -> None:
    """Old and new daemons both find their exporter, the trace goes along, and the daemon keeps no history of it."""
    assert await solve(channel, spec(traceparent="00-a-b-01"), Redactor(), ignore) == {
        "containerimage.digest": "sha256:1"
    }
    assert daemon.request
    assert daemon.request.ExporterDeprecated == daemon.request.Exporters[0].Type == "moby"
    assert dict(daemon.request.ExporterAttrsDeprecated) == dict(daemon.request.Exporters[0].Attrs) == {"name": "x"}
    assert daemon.request.Internal
    assert not daemon.request.Entitlements
    assert daemon.metadata["traceparent"] == "00-a-b-01"
    assert "signature" not in repr(spec())


async def test_a_status_that_never_ends(
    daemon: Daemon, channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker 20.10 may leave the status of an early failure open: the wait for it is bounded and its events arrive."""
    monkeypatch.setattr(follow, "GRACE_S", 0.2)
    daemon.status_ends = False
    daemon.answer = lambda context: context.abort(grpc.StatusCode.UNKNOWN, "words")
    daemon.messages = [pb.StatusResponse(logs=[pb.VertexLog(vertex="v", stream=1, msg=b"no newline")])]
    seen: list[Event] = []

    async def take(events: Any) -> None:
        seen.extend(events)

    with pytest.raises(SolveError):
        await asyncio.wait_for(solve(channel, spec(), Redactor(), take), WAIT_S)
    assert [getattr(e, "text", "") for e in seen] == ["no newline"]


async def test_cancelling_reaches_the_daemon(daemon: Daemon, channel: grpc.aio.Channel) -> None:
    """The daemon's side of the call is cancelled at once."""
    daemon.answer = lambda _: asyncio.sleep(3600)
    daemon.status_ends = False
    task = asyncio.create_task(solve(channel, spec(), Redactor(), ignore))
    await asyncio.wait_for(daemon.solving.wait(), WAIT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, WAIT_S)
    await asyncio.wait_for(daemon.cancelled.wait(), WAIT_S)


async def test_typed_details_of_new_daemons(daemon: Daemon, channel: grpc.aio.Channel) -> None:
    """Line and exit code come from the details; a Dockerfile of 80 kB and the signed URL in them stay inside."""
    dockerfile = base64.b64encode(b"# secret comment\n" * 5000).decode()
    source = {
        "info": {"filename": "Dockerfile", "data": dockerfile},
        "ranges": [{"start": {"line": 12}, "end": {"line": 12}}],
    }
    status = Status(code=2, message="failed")
    for name, value in (
        ("github.com/moby/buildkit/errdefs.Source+json", source),
        ("github.com/moby/buildkit/errdefs.Solve+json", {"op": {"source": {"identifier": SIGNED}}}),
        ("github.com/moby/buildkit/gatewayapi.ExitMessage+json", {"Code": 42}),
        ("github.com/moby/buildkit/stack.Stack+json", ["not an object"]),
    ):
        status.details.append(Detail(type_url=name, value=json.dumps(value).encode()))
    text = f'failed to solve: process "/bin/sh -c curl {SIGNED}" did not complete successfully: exit code: 42'

    async def fail(context: Any) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        await context.abort(grpc.StatusCode.UNKNOWN, text)

    daemon.answer = fail
    with pytest.raises(SolveError) as caught:
        await solve(channel, spec(), Redactor(), ignore)
    error = caught.value
    assert (error.kind, error.line, error.exit_code) == (FailureKind.COMMAND_FAILED, 12, 42)
    assert "signature" not in f"{error}{error.text}{error!r}"
    assert "(line 12) ended with exit code 42" in error.message


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, FailureKind.BUILDER_LOST),
        (grpc.StatusCode.CANCELLED, FailureKind.BUILDER_LOST),
        (grpc.StatusCode.DEADLINE_EXCEEDED, FailureKind.TIMED_OUT),
        (grpc.StatusCode.UNKNOWN, FailureKind.UNKNOWN),
    ],
)
async def test_codes(daemon: Daemon, channel: grpc.aio.Channel, code: grpc.StatusCode, kind: FailureKind) -> None:
    """A lost daemon is the operator's fault, the deadline is the build's, and an unknown error is shown unchanged."""
    daemon.answer = lambda context: context.abort(code, "words")
    with pytest.raises(SolveError) as caught:
        await solve(channel, spec(timeout_s=60), Redactor(), ignore)
    assert caught.value.kind is kind


@pytest.mark.parametrize("is_end_lost", [False, True])
async def test_why_a_step_was_ended_when_its_output_was_lost(
    daemon: Daemon, channel: grpc.aio.Channel, *, is_end_lost: bool
) -> None:
    """The bound is named although no line of the step names it, and the step although its end was not reported."""
    hit = of_processes(300)
    asked: list[str] = []

    def why_ended(name: str) -> str:
        asked.append(name)
        return hit.line

    step = pb.Vertex(digest="v", name="[2/2] RUN bomb")
    step.started.GetCurrentTime()
    if not is_end_lost:
        step.error = "killed"
        step.completed.GetCurrentTime()
    daemon.messages = [pb.StatusResponse(vertexes=[step])]
    daemon.answer = lambda context: context.abort(
        grpc.StatusCode.UNKNOWN, 'process "/bin/sh -c bomb" did not complete successfully: exit code: 137'
    )
    with pytest.raises(SolveError) as caught:
        await solve(channel, replace(spec(), why_ended=why_ended), Redactor(), ignore)
    (names,) = asked
    assert "RUN bomb" in names
    assert "RUN bomb" in caught.value.message
    assert caught.value.kind is FailureKind.PIDS_LIMIT
    assert hit.why in caught.value.message


async def test_a_step_that_was_ended_in_a_build_that_timed_out(daemon: Daemon, channel: grpc.aio.Channel) -> None:
    """The bound is named, not the time, as the daemon was too slow to report the step's end; and no other step."""
    hit = of_processes(300)
    steps = [pb.Vertex(digest=name, name=f"[2/2] RUN {name}") for name in ("sound", "bomb", "slow")]
    for step in steps:
        step.started.GetCurrentTime()
    daemon.messages = [pb.StatusResponse(vertexes=steps)]
    daemon.answer = lambda context: context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "late")
    build = replace(spec(), why_ended=lambda name: hit.line if "bomb" in name else "")
    with pytest.raises(SolveError) as caught:
        await solve(channel, build, Redactor(), ignore)
    assert caught.value.kind is FailureKind.PIDS_LIMIT
    assert "RUN bomb" in caught.value.message
    assert hit.why in caught.value.message


async def test_a_daemon_that_hangs(daemon: Daemon, channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that accepts the build and never starts it is at fault, not the build, and that is reported soon."""
    monkeypatch.setattr(solver, "BEGIN_TIMEOUT_S", 0.3)
    waiting = pb.Vertex(digest="sha256:1", name="[internal] load remote build context")
    daemon.messages, daemon.status_ends = [pb.StatusResponse(vertexes=[waiting])], False
    daemon.answer = lambda _: asyncio.sleep(3600)
    with pytest.raises(SolveError, match="restart the Docker engine") as caught:
        await solve(channel, spec(), Redactor(), ignore)
    assert caught.value.kind.is_ours
    await asyncio.wait_for(daemon.cancelled.wait(), WAIT_S)


async def test_a_build_that_is_silent_after_its_beginning(
    daemon: Daemon, channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long step may say nothing for as long as the build may take."""
    monkeypatch.setattr(solver, "BEGIN_TIMEOUT_S", 0.2)
    begun = pb.Vertex(digest="sha256:1", name="x")
    begun.started.GetCurrentTime()
    daemon.messages, daemon.status_ends = [pb.StatusResponse(vertexes=[begun])], False

    async def later(_: Any) -> pb.SolveResponse:
        await asyncio.sleep(0.6)
        return pb.SolveResponse(ExporterResponse={"containerimage.digest": "sha256:1"})

    daemon.answer = later
    monkeypatch.setattr(follow, "QUIET_S", 0.1)
    assert await solve(channel, spec(), Redactor(), ignore)


async def test_readiness(daemon: Daemon, channel: grpc.aio.Channel, tmp_path: Path) -> None:
    """A daemon says its platforms; one that is not there is reported within the bound, with the reason."""
    assert await wait_ready(channel, 5) == ["linux/amd64"]
    async with unix_channel(tmp_path / "nothing") as other:
        with pytest.raises(ChannelLostError, match=r"not ready after 0\.5 s \(UNAVAILABLE"):
            await wait_ready(other, 0.5)


@pytest.mark.parametrize(
    ("text", "step", "kind"),
    [
        ('target stage "nope" could not be found', "", FailureKind.TARGET_MISSING),
        ("failed to read dockerfile: open Dockerfile: no such file or directory", "", FailureKind.DOCKERFILE_MISSING),
        ("dockerfile parse error on line 4: unknown instruction: FOO", "", FailureKind.DOCKERFILE_INVALID),
        ('failed to compute cache key: "/no" not found: not found', "COPY no /", FailureKind.FILE_MISSING),
        ('failed to calculate checksum of ref a::b: "/no": not found', "COPY no /", FailureKind.FILE_MISSING),
        ("failed to resolve source metadata for docker.io/library/x:1: not found", "", FailureKind.BASE_IMAGE),
        ("pull access denied, repository does not exist", "", FailureKind.REGISTRY_AUTH),
        ("failed to load cache key: invalid response status 403", "", FailureKind.CONTEXT_UNAVAILABLE),
        ("invalid response status 404", "[internal] load remote build context", FailureKind.CONTEXT_UNAVAILABLE),
        ("invalid response status 404", "[2/3] ADD http://x /", FailureKind.FETCH_FAILED),
        ("write /var/lib/docker/x: no space left on device", "", FailureKind.DISK_FULL),
        ("failed to prepare y: open /x/overlay2/w/committed: no such file or directory", "", FailureKind.BUILDER_LOST),
        ("no active session for abc: context deadline exceeded", "", FailureKind.BUILDER_LOST),
        ('process "/bin/sh -c no space left on device" did not complete successfully: exit code: 1', "", COMMAND),
        ("executor failed running [/bin/sh -c pull access denied]: exit code: 1", "", COMMAND),
        ("never seen before", "", FailureKind.UNKNOWN),
    ],
)  # fmt: skip
def test_kinds(text: str, step: str, kind: FailureKind) -> None:
    """Texts of old and new daemons, also those that quote a command which looks like another failure."""
    assert classify(text, failed_step=step) is kind


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_kind_has_words(kind: FailureKind) -> None:
    """Each explanation quotes the daemon's message, with any braces, and does not look like a traceback."""
    explanation = explain(kind, Facts(text="odd {words} %s", failed_step="RUN {x}", exit_code=1))
    assert explanation[0].islower() or explanation.startswith("Dockerfile")
    assert "None" not in explanation


def test_messages_name_what_is_at_fault() -> None:
    """The image that is missing is named; the line of the Dockerfile is named once."""
    step = "[internal] load metadata for docker.io/library/python:3.12"
    for kind in (FailureKind.BASE_IMAGE, FailureKind.REGISTRY_AUTH):
        assert "the image docker.io/library/python:3.12" in explain(kind, Facts(text="no such host", failed_step=step))
    explanation = explain(
        FailureKind.DOCKERFILE_INVALID, Facts(text="dockerfile parse error on line 4: odd words", line=4)
    )
    assert explanation == "Dockerfile (line 4) is not valid: odd words. Correct it, then try again"


def test_out_of_memory_is_named() -> None:
    """Exit code 137 alone is no proof; with the counters' word, limit and key are named."""
    assert "ran out of memory" not in explain(FailureKind.COMMAND_FAILED, Facts(exit_code=137))
    explanation = explain(FailureKind.COMMAND_FAILED, Facts(exit_code=137, memory_mib=512))
    assert "ran out of memory" in explanation
    assert "512 MiB" in explanation
    assert "[builds] memory_mib" in explanation
