"""The docker backend on a real engine, with contexts from a real Disk store."""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from pkg.builders.docker.backend import DockerBuilder
from pkg.builders.docker.testing import Build, failure
from pkg.builders.port import BuildSpec
from pkg.builders.testing import SHELL, MemorySink, context, context_at, engine_socket, nonce
from pkg.buildkit import engine_channel, features
from pkg.builds.failures import BuilderUnavailable, BuildFailed, FailureKind
from pkg.docker import Engine
from pkg.images import ImageRef
from pkg.storage.disk import DiskStore
from pkg.storage.port import RUNNER_LIMITS
from pkg.telemetry.events import LogStream, StepState
from pkg.testing.wait import WAIT_S

SECRET = b"s3cr3t-of-the-tenant"


def processes(marker: str) -> list[int]:
    """Processes of this machine with `marker` in their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdecimal() and marker.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


async def test_a_build_makes_an_image_and_tells_what_it_does(build: Build, image_name: ImageRef) -> None:
    """The image exists under the id that is returned, with labels and ports; steps and both streams were reported."""
    sink, mark = MemorySink(), nonce()
    dockerfile = SHELL + f"ARG WORD\nEXPOSE 9000 8080/tcp 53/udp\nRUN echo {mark} $WORD; echo problem >&2\n"
    image = await build({"Dockerfile": dockerfile}, sink, build_args={"WORD": "hi"}, labels={"app": "x"})
    assert image.image_ref.is_on_engine
    assert (image.name, image.platform, image.exposed_ports) == (image_name, "linux/amd64", (8080, 9000))
    found = await Engine(engine_socket()).image(image.image_ref.digest)
    assert found
    assert found["Config"]["Labels"] == {"sealift.test": str(image_name), "app": "x"}
    assert str(image_name) in found["RepoTags"]
    assert sorted((stream, text) for _, stream, text in sink.lines) == [
        (LogStream.STDOUT, f"{mark} hi"),
        (LogStream.STDERR, "problem"),
    ]
    ran = next(s for s in sink.last_steps.values() if "RUN" in s.name)
    assert ran.state is StepState.COMPLETED
    assert 0 < ran.started_at <= ran.ended_at
    assert {line[0] for line in sink.lines} == {ran.step_id}


async def test_the_same_again_is_cached(build: Build) -> None:
    """A rebuild under another signature runs nothing and makes the same image: a new attempt after a crash is cheap."""
    files = {"Dockerfile": SHELL + f"RUN echo {nonce()} > /x\n"}
    first, sink = await build(files), MemorySink()
    assert (await build(files, sink)).image_ref == first.image_ref
    states = {s.name: s.state for s in sink.last_steps.values() if s.name.startswith("[") and "internal" not in s.name}
    assert len(states) == 3
    assert set(states.values()) == {StepState.CACHED}


async def test_lines_arrive_while_the_command_runs(build: Build) -> None:
    """Output is reported as it happens, not when the step ends."""
    sink, mark = MemorySink(), nonce()
    task = asyncio.create_task(
        build({"Dockerfile": SHELL + f"RUN echo early{mark}; busybox sleep 20; echo late\n"}, sink)
    )
    await sink.saw(f"early{mark}")
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "late" not in sink.text


async def test_a_failing_command(build: Build) -> None:
    """Kind, exit code and a next step; the output that explains it is in the log; the step is marked as failed."""
    sink = MemorySink()
    error = await failure(build, SHELL + "RUN echo 'Error: boom' >&2; exit 7\n", sink)
    assert (error.kind, error.exit_code, error.code) == (FailureKind.COMMAND_FAILED, 7, "build.command_failed")
    assert "ended with exit code 7" in error.message
    assert "try again" in error.message
    assert "Error: boom" in sink.text
    assert [s.state for s in sink.last_steps.values() if "RUN" in s.name] == [StepState.FAILED]


async def test_a_command_cannot_pass_itself_off_as_another_failure(build: Build) -> None:
    """The daemon's message quotes the command, whose text does not influence the kind, the exit code or the line."""
    error = await failure(build, SHELL + "RUN : no space left on device, line 3, exit code: 5; exit 7\n")
    assert (error.kind, error.exit_code, error.line) == (FailureKind.COMMAND_FAILED, 7, None)


@pytest.mark.parametrize(
    ("dockerfile", "kind", "line"),
    [
        (SHELL + "FOO bar\n", FailureKind.DOCKERFILE_INVALID, 4),
        (SHELL + "COPY a\n", FailureKind.DOCKERFILE_INVALID, 4),
        ("", FailureKind.DOCKERFILE_INVALID, None),
        ("RUN echo\n", FailureKind.DOCKERFILE_INVALID, None),
        (SHELL + "COPY nothere /x\n", FailureKind.FILE_MISSING, None),
        ("FROM sealift-test/nothere:1\n", FailureKind.BASE_IMAGE, None),
        ("FROM 127.0.0.1:9/nothere:1\n", FailureKind.BASE_IMAGE, None),
        (SHELL + "ADD http://127.0.0.1:9/x /x\n", FailureKind.FETCH_FAILED, None),
        (SHELL + "RUN --mount=type=secret,id=nope,required=true echo\n", FailureKind.SECRET_MISSING, None),
        (SHELL + "# padding\n" * 6000 + "FOO\n", FailureKind.DOCKERFILE_INVALID, 6004),
    ],
    ids=["instruction", "arguments", "empty", "no FROM", "COPY", "base", "registry", "ADD", "secret", "61 kB"],
)  # fmt: skip
async def test_what_is_wrong_with_a_dockerfile(
    build: Build, dockerfile: str, kind: FailureKind, line: int | None
) -> None:
    """Each mistake has its kind, its line where the daemon knows it, and a message for the user."""
    error = await failure(build, dockerfile)
    assert (error.kind, error.line) == (kind, line), error.message
    assert error.code == f"build.{kind}"
    assert len(error.message) < 1500


async def test_no_dockerfile_and_no_such_target(build: Build) -> None:
    """The message names the file or the stage that is not there."""
    with pytest.raises(BuildFailed, match=r"build\.dockerfile_missing: there is no docker/App\.dockerfile in"):
        await build({"Dockerfile": SHELL}, dockerfile_path="docker/App.dockerfile")
    with pytest.raises(BuildFailed, match=r"build\.target_missing: Dockerfile has no stage 'nope'"):
        await build({"Dockerfile": SHELL}, target="nope")


async def test_a_dockerfile_elsewhere_and_a_target(build: Build) -> None:
    """`dockerfile_path` in a folder, and a stage that is not the last one."""
    dockerfile = SHELL.replace("scratch", "scratch AS first") + "FROM scratch\nCOPY nothere /\n"
    assert (
        await build({"docker/App.dockerfile": dockerfile}, dockerfile_path="docker/App.dockerfile", target="first")
    ).image_ref


async def test_secrets_reach_the_command_and_nothing_else(build: Build, store: DiskStore) -> None:
    """The value is mounted; it is in no line, step, error or image, not even when a command prints it."""
    sink = MemorySink()
    dockerfile = SHELL + (
        f"RUN --mount=type=secret,id=tok,required=true : {nonce()};"
        " busybox wc -c < /run/secrets/tok; busybox cat /run/secrets/tok; echo; busybox base64 /run/secrets/tok;"
        " echo 'https://user:hunter2@example.test/?Signature=abcdef'; echo Authorization: Bearer abcdefghijklmnop;"
        " exit 7\n"
    )
    with pytest.raises(BuildFailed) as caught:
        await build({"Dockerfile": dockerfile}, sink, secrets={"tok": SECRET})
    assert str(len(SECRET)) in sink.text
    output = sink.everything() + str(caught.value) + repr(caught.value.metadata)
    for leak in (SECRET.decode(), "czNjcjN0LW9m", "hunter2", "abcdef", "Bearer a", "signature="):
        assert leak not in output, leak
    assert "https://***@example.test/?***" in sink.text


async def test_an_expired_context_is_ours(build: Build, store: DiskStore) -> None:
    """The user did nothing wrong: retryable, and the message does not show the signature."""
    url = store.presign_get("contexts/proj_a/gone.tar.gz", ttl_s=60)
    with pytest.raises(BuilderUnavailable, match=r"build\.context_unavailable") as caught:
        await build({"Dockerfile": SHELL}, sign_context_url=context_at(url))
    assert urlsplit(url).query not in str(caught.value)
    with pytest.raises(BuilderUnavailable, match="status 403"):
        await build({"Dockerfile": SHELL}, sign_context_url=context_at(url.replace("signature=", "signature=0")))


async def test_a_dockerfile_learns_nothing_of_other_contexts(build: Build, store: DiskStore) -> None:
    """Old BuildKit sends any server the ETags of the contexts it has cached and trusts a 304: ours have none."""
    archive = context({"Dockerfile": SHELL + f"RUN echo {nonce()}\n"})
    await build(archive)
    etags: list[str] = []

    async def spy(request: web.Request) -> web.Response:
        etags.append(request.headers.get("If-None-Match", ""))
        return web.Response(text="x", headers={"ETag": f'"{nonce()}"'})

    app = web.Application()
    app.router.add_get("/context", spy)
    runner = web.AppRunner(app, access_log=None, **RUNNER_LIMITS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}/context"
        await build({"Dockerfile": SHELL + f"ADD {address} /x\nRUN : {nonce()}\n"})
    finally:
        await runner.cleanup()
    assert etags
    assert hashlib.sha256(archive).hexdigest() not in "".join(etags)


async def test_binary_output_and_a_huge_line(build: Build) -> None:
    """What is no text becomes text; a line of 300 kB is cut with a mark; later lines still come."""
    sink = MemorySink()
    dockerfile = SHELL + (
        f"RUN : {nonce()}; busybox printf '\\001\\377\\376\\000ok\\n';"
        " busybox head -c 300000 /dev/zero | busybox tr '\\0' x; echo\nRUN echo after\n"
    )
    await build({"Dockerfile": dockerfile}, sink)
    lines = [text for _, _, text in sink.lines]
    assert lines[0] == "\ufffd\ufffd\ufffd\ufffdok"
    huge = next(line for line in lines if line.startswith("xxx"))
    assert len(huge) <= 16 << 10
    assert "[line cut: it has " in huge[-60:]  # how much of it arrives depends on the daemon's own limit per second
    assert "after" in lines


async def test_cancelling_kills_the_command(build: Build) -> None:
    """What a cancelled build ran is ended with it; the step ends as cancelled."""
    sink, mark = MemorySink(), nonce()
    task = asyncio.create_task(build({"Dockerfile": SHELL + f"RUN echo on{mark}; busybox sleep 300; : {mark}\n"}, sink))
    await sink.saw(f"on{mark}")
    assert processes(mark), task
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(WAIT_S):
        while processes(mark):  # noqa: ASYNC110 - another daemon's processes send no event
            await asyncio.sleep(0.01)
    assert [s.state for s in sink.last_steps.values() if "RUN" in s.name] == [StepState.CANCELLED]


async def test_a_build_that_takes_too_long_is_stopped(build: Build) -> None:
    """The time limit ends the command, too, and the message names the limit."""
    mark = nonce()
    error = await failure(build, SHELL + f"RUN busybox sleep 300; : {mark}\n", timeout_s=2)
    assert error.kind is FailureKind.TIMED_OUT
    assert "within 2 s" in error.message
    async with asyncio.timeout(WAIT_S):
        while processes(mark):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_no_engine(tmp_path: Path) -> None:
    """An engine that is away is ours and says where it was looked for; nothing hangs."""
    spec = BuildSpec(
        project_id="proj_a",
        build_id="bld_a",
        attempt=1,
        image_name=ImageRef("sealift/a", "b"),
        sign_context_url=context_at("http://127.0.0.1:9/"),
        timeout_s=60,
    )
    with pytest.raises(BuilderUnavailable, match=r"build\.builder_lost"):
        await asyncio.wait_for(DockerBuilder(tmp_path / "no.sock").build(spec, MemorySink()), WAIT_S)


async def test_an_error_of_the_sink_ends_the_build(build: Build) -> None:
    """Another attempt took over, so to speak: the build stops and the sink's error comes out."""

    class Broken(MemorySink):
        async def line(self, step_id: str, stream: LogStream, text: str) -> None:
            raise ValueError("superseded")

    mark = nonce()
    with pytest.raises(ValueError, match="superseded"):
        await build({"Dockerfile": SHELL + f"RUN echo hi; busybox sleep 300; : {mark}\n"}, Broken())
    async with asyncio.timeout(WAIT_S):
        while processes(mark):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_builds_side_by_side(build: Build, image_name: ImageRef) -> None:
    """Four builds at once do not mix their output."""
    marks = [nonce() for _ in range(4)]
    sinks = [MemorySink() for _ in marks]
    await asyncio.gather(
        *(
            build(
                {"Dockerfile": SHELL + f"RUN echo {mark}\n"},
                sink,
                image_name=replace(image_name, tag=f"{image_name.tag}-{mark}"),
            )
            for mark, sink in zip(marks, sinks, strict=True)
        )
    )
    assert [sink.text for sink in sinks] == marks


async def test_a_second_workspace_on_an_old_engine_is_refused(build: Build) -> None:
    """Below BuildKit 0.18, where a build can read what others have downloaded, there is one workspace alone."""
    async with engine_channel(engine_socket()) as channel:
        problem = (await features(channel)).isolation_problem
    if problem:
        error = await failure(build, SHELL, is_shared=True)
        assert (error.kind, error.message) == (FailureKind.ISOLATION, problem)
    else:
        assert (await build({"Dockerfile": SHELL}, is_shared=True)).image_ref.is_on_engine
