"""`sealift build`, `build show`, `builds` and `deploy --build` as a process: verdicts, streams, requests."""

import json
import signal
import subprocess

import grpc
import pytest

from sealift.cli.conftest import Eventually, Program
from sealift.cli.format.build_text import build_text, last_steps
from sealift.client import testing_deployment
from sealift.client.testing import FakeServer
from sealift.client.testing_deployment import FakeDeployment
from sealift.ctrl.v1 import build_pb2


async def test_built(sealift: Program, server: FakeServer) -> None:
    """Promise: stdout has only the id of the build, stderr the timeline of a deploy up to Built; no deployment."""
    done = await sealift("build")
    assert (done.code, done.out) == (0, "bld_1\n")
    order = ["hello · main", "context: 2 files", "uploaded", "build bld_1", "Queued", "[1/2] FROM base"]
    order += [
        "[2/2] RUN make",
        "compiling",
        "Built",
        "Image built",
        "Image id",
        "Platform",
        "linux/amd64",
        "Total",
        "Next",
    ]
    places = [done.err.index(text) for text in order]
    assert places == sorted(places)
    assert "sealift deploy --build bld_1" in done.err
    assert server.deployments == {}
    assert not list(sealift.temp.iterdir())


async def test_a_second_build_uploads_nothing(sealift: Program, server: FakeServer) -> None:
    """Promise: it is packed and uploaded as by a deploy: a tree that did not change is not sent again."""
    await sealift("deploy")
    done = await sealift("build")
    assert "nothing to upload, the server has these" in done.err or "unchanged: nothing to pack" in done.err
    assert len(server.store.objects) == 1


async def test_request(sealift: Program, server: FakeServer) -> None:
    """Promise: options and [build] of the file are sent; the platform as the server names it."""
    sealift.files(
        sealift_DOT_toml='project="hello"\nenvironment="nowhere"\n[build]\ntarget="run"\nplatform="linux/arm64"\n'
    )
    sealift.env["TOKEN"] = "hunter2"
    options = ("--build-arg", "A=1", "--secret", "id=t,env=TOKEN", "--no-cache", "--idempotency-key", "k")
    done = await sealift("build", *options, "--platform", "/linux/amd64")
    assert done.code == 0
    assert "hunter2" not in done.err + done.out
    [request] = server.created_builds
    context = request.build_context
    assert (context.target, context.platform, dict(context.build_args), context.no_cache) == (
        "run",
        "linux/amd64",
        {"A": "1"},
        True,
    )
    assert [(s.id, s.value) for s in context.secrets] == [("t", b"hunter2")]
    assert (request.project_id, request.idempotency_key) == ("proj_hello", "k")
    await sealift("build", "--platform", "dynamic")
    assert not server.created_builds[1].build_context.HasField("platform")
    await sealift("build")
    assert server.created_builds[2].build_context.platform == "linux/arm64"


@pytest.mark.parametrize("command", ["build", "deploy"])
async def test_an_unknown_platform_is_refused_before_anything_is_sent(
    sealift: Program, server: FakeServer, command: str
) -> None:
    """Promise: the refusal names both platforms and where the value is from; exit 2."""
    done = await sealift(command, "--platform", "linux/arm/v7")
    assert done.code == 2
    assert "--platform 'linux/arm/v7' is not supported: use linux/amd64 or linux/arm64" in done.err
    sealift.files(sealift_DOT_toml='project="hello"\n[build]\nplatform="windows/amd64"\n')
    assert "[build] platform 'windows/amd64' is not supported" in (await sealift(command)).err
    assert server.calls["GenerateUploadURL"] == 0


async def test_a_failed_build(sealift: Program, server: FakeServer) -> None:
    """Promise: exit 4, the reason, the last lines, the code and where to look; stdout is empty."""
    server.scenario = testing_deployment.building_fails
    done = await sealift("build")
    assert (done.code, done.out) == (4, "")
    for text in ("FAILED  Build failed", "no rule to make target", '"make" ended with code 7', "build.command_failed"):
        assert text in done.err
    assert "sealift logs --build bld_1" in done.err
    shown = await sealift("build", "show", "bld_1")
    assert shown.code == 0
    assert 'error       "make" ended with code 7 [build.command_failed]' in shown.out
    assert "[2/2] RUN make  failed" in shown.out


async def test_json(sealift: Program, server: FakeServer) -> None:
    """Promise: the same events as of a deploy; the last one is the result."""
    events = (await sealift("build", "--json")).events
    kinds = [event["event"] for event in events]
    assert kinds[-1] == "result"
    for kind in ("note", "packed", "uploaded", "created", "step", "build_step", "build_line"):
        assert kind in kinds
    created = next(event for event in events if event["event"] == "created")
    assert created == {"event": "created", "build_id": "bld_1"}
    steps = [(event["name"], event["state"]) for event in events if event["event"] == "step"]
    assert steps == [("queued", "started"), ("queued", "ended"), ("building", "started"), ("building", "ended")]
    result = events[-1]
    assert (result["status"], result["exit_code"], result["build_id"]) == ("succeeded", 0, "bld_1")
    assert (result["image_ref"], result["platform"], result["attestations"]) == ("engine:sha256:1", "linux/amd64", [])


async def test_detached_and_waited_for(sealift: Program, server: FakeServer) -> None:
    """Promise: --detach prints the id at once; `build show --wait` waits with the outcome as exit code."""
    server.scenario = testing_deployment.waits_for_slot
    done = await sealift("build", "--detach")
    assert (done.code, done.out) == (0, "bld_1\n")
    assert "sealift build show --wait bld_1" in done.err
    waiting = await sealift("build", "show", "--wait", "--wait-timeout", "1", "bld_1")
    assert waiting.code == 5
    assert "queued: all 2 build slots are in use; it starts automatically" in waiting.err
    assert "no outcome after 1 s; build bld_1 continues" in waiting.err
    asked = await sealift("cancel", "bld_1")
    assert (asked.code, asked.out) == (0, "bld_1\n")
    over = await sealift("build", "show", "--wait", "bld_1")
    assert (over.code, over.out) == (6, "")
    assert "ended  Queued  cancelled after" in over.err
    assert (await sealift("build", "show", "bld_1", "--json")).events[0]["status"] == "cancelled"


async def test_interrupted(sealift: Program, server: FakeServer, eventually: Eventually) -> None:
    """Promise: Ctrl-C on a terminal only stops waiting: exit 130, and how to go on; the build is not cancelled."""
    server.scenario = testing_deployment.waits_for_cancel
    sealift.env["TERM"] = "xterm"
    async with sealift.at_terminal("build") as terminal:
        await eventually(lambda: server.calls["GetBuildLogs"] > 0)
        terminal.type(b"\x03")
        assert await terminal.end() == 130
    for text in ("build bld_1 continues", "sealift build show --wait bld_1", "sealift cancel bld_1"):
        assert text in terminal.text
    assert server.calls["CancelBuild"] == 0


async def test_interrupted_before_it_is_recorded(sealift: Program, server: FakeServer, eventually: Eventually) -> None:
    """Promise: an interrupt before CreateBuild says that nothing was built."""
    server.faults["GenerateUploadURL"] = [grpc.StatusCode.UNAVAILABLE] * 50
    process = await sealift.start("build")
    await eventually(lambda: server.calls["GenerateUploadURL"] > 0)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert b"interrupted; nothing was built" in err


async def test_a_lost_connection_is_no_failed_build(sealift: Program, server: FakeServer) -> None:
    """Promise: streams that end and calls that fail are repeated; each line is shown once."""
    server.cut_streams_after = 2
    server.faults["GetBuild"] = [grpc.StatusCode.UNAVAILABLE] * 2
    done = await sealift("build")
    assert done.code == 0
    assert done.err.count("compiling") == 1


async def test_deploy_an_earlier_build(sealift: Program, server: FakeServer) -> None:
    """Promise: nothing is packed or built; the build is named; its old log is not shown as news."""
    await sealift("build")
    done = await sealift("deploy", "--build", "bld_1", "--env", "preview", "--commit", "abcdef1")
    assert (done.code, done.out) == (0, "http://hello.sealift.localhost:7480\n")
    [request] = server.created
    assert (request.build_id, request.environment_slug) == ("bld_1", "preview")
    assert request.git_commit.commit_sha == "abcdef1"
    assert "hello · preview · main (abcdef1) · bld_1" in done.err
    assert "compiling" not in done.err
    assert server.calls["GenerateUploadURL"] == 1
    (sealift.cwd / "sealift.toml").unlink()
    elsewhere = await sealift("deploy", "--build", "bld_1")
    assert elsewhere.code == 0
    assert "hello · production · main · bld_1" in elsewhere.err
    assert server.created[1].project_id == "proj_hello"
    dry = await sealift("deploy", "--build", "bld_1", "--dry-run")
    assert "would deploy the image of bld_1" in dry.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("deploy", "--build", "dep_1"), "--build 'dep_1' is not a build id (bld_...): `sealift builds` lists them"),
        (("deploy", "--build", "bld_1", "--image", "x"), "--build and --image both name what to deploy: omit one"),
        (("deploy", "--build", "bld_1", "--no-cache"), "--build deploys a built image; omit --no-cache"),
        (("deploy", "--build", "bld_1", "."), "--build deploys a built image; omit PATH"),
        (("deploy", "bld_1"), "the directory bld_1 does not exist; did you mean: sealift deploy --build bld_1"),
        (("build", "bld_1"), "the directory bld_1 does not exist; did you mean: sealift build show bld_1"),
        (("build", "show", "a", "b"), "unexpected extra argument (b)"),
        (("build", "cancel", "bld_1"), "did you mean: sealift build show bld_1, or sealift cancel bld_1?"),
        (("builds", "show", "bld_1"), "did you mean: sealift build show bld_1, or sealift cancel bld_1?"),
        (("status", "bld_1"), "bld_1 is a build: use sealift build show bld_1"),
        (("build", "--env", "x"), "no such option '--env'"),
    ],
)
async def test_misuse(sealift: Program, server: FakeServer, arguments: tuple[str, ...], words: str) -> None:
    """Promise: exit 2, with what to type instead."""
    done = await sealift(*arguments)
    assert done.code == 2
    assert words in done.err
    assert server.calls["CreateBuild"] + server.calls["CreateDeployment"] == 0


async def test_unknown_builds(sealift: Program, server: FakeServer) -> None:
    """Promise: the server's words, its code, exit 1."""
    for command in (("build", "show"), ("cancel",), ("logs",), ("deploy", "--build")):
        done = await sealift(*command, "bld_9")
        assert done.code == 1
        assert "[build.not_found" in done.err


async def test_a_directory_called_show(sealift: Program, server: FakeServer) -> None:
    """Promise: `build show` is the command; ./show is the directory."""
    sealift.files(show__Dockerfile="FROM scratch\n", show__sealift_DOT_toml='project = "hello"\n')
    none = await sealift("build", "show")
    assert none.code == 1
    assert "project 'hello' has no builds yet; create one with: sealift build" in none.err
    assert (await sealift("build", "./show")).code == 0
    assert (await sealift("build", "show")).out.startswith("build       bld_1\n")


async def test_list(sealift: Program, server: FakeServer) -> None:
    """Promise: newest first, over any number of pages, with the builds of deployments; --json has the whole builds."""
    none = await sealift("builds")
    assert (none.code, none.out) == (0, "")
    assert "project 'hello' has no builds yet" in none.err
    await sealift("deploy")
    server.scenario = testing_deployment.building_fails
    await sealift("build")
    for number in range(3, 206):
        build = build_pb2.Build(build_id=f"bld_{number}", status=build_pb2.BUILD_STATUS_SUCCEEDED, created_at=1)
        server.builds[build.build_id] = FakeDeployment(server, server.deployments["dep_1"].deployment)
        server.builds[build.build_id].build = build
    listed = (await sealift("builds", "--limit", "500")).out.splitlines()
    assert listed[0].split() == ["BUILD", "STATUS", "AGE", "TOOK", "PLATFORM", "IMAGE", "DEPLOYMENT"]
    assert [line.split()[0] for line in listed[1:]] == [f"bld_{number}" for number in range(205, 0, -1)]
    assert listed[1].split()[1] == "succeeded"
    assert "deleted" in listed[1]
    assert listed[-1].split()[-2:] == ["1", "dep_1"]
    assert listed[-2].split()[1] == "failed"
    newest = (await sealift("builds", "--limit", "2", "--json")).events
    assert [one["build_id"] for one in newest] == ["bld_205", "bld_204"]


async def test_show(sealift: Program, server: FakeServer) -> None:
    """Promise: status, image, platform, attestations and the steps, cached ones marked; also by the deployment's id."""
    await sealift("deploy")
    for arguments in (("bld_1",), ("dep_1",), ()):
        shown = (await sealift("build", "show", *arguments)).out
        for label, value in (("status", "succeeded"), ("deployment", "dep_1"), ("provenance", "not attached")):
            assert f"{label:<12}{value}\n" in shown
        assert "platform    linux/amd64\n" in shown
        assert "[1/2] FROM base  cached\n" in shown
        assert "[2/2] RUN make   " in shown
        assert "compiling" not in shown
    facts = (await sealift("build", "show", "--json")).events[0]
    assert [(step["name"], step["state"]) for step in facts["steps"]] == [
        ("[1/2] FROM base", "cached"),
        ("[2/2] RUN make", "completed"),
    ]
    server.builds["bld_1"].build.attestations[:] = ["provenance", "sbom"]
    shown = (await sealift("build", "show")).out
    assert "provenance  attached\nsbom        attached\n" in shown
    assert "compiling" in (await sealift("logs", "bld_1")).out
    server.builds["bld_1"].events.clear()
    nothing = await sealift("logs", "bld_1")
    assert (nothing.code, nothing.out) == (0, "")
    assert "no log of bld_1 is stored" in nothing.err


async def test_without_the_store_of_logs(sealift: Program, server: FakeServer) -> None:
    """Promise: a build is made and shown although its log can't be read; what is missing and why is told, soon."""
    server.log_problem = "ClickHouse at http://10.0.0.5:8123 refuses the user"
    built = await sealift("build")
    assert (built.code, built.out) == (0, "bld_1\n")
    shown = await sealift("build", "show")
    assert (shown.code, "status      succeeded\n" in shown.out) == (0, True)
    assert f"the steps can't be read: {server.log_problem}" in shown.err
    assert (await sealift("build", "show", "--json")).events[0]["steps"] is None
    printed = await sealift("logs", "bld_1")
    assert (printed.code, printed.out) == (7, "")
    for done in (built, printed):
        assert f"the build log can't be read ({server.log_problem}); trying again" in done.err
    assert "telemetry.unavailable" in printed.err


async def test_an_older_server(sealift: Program, server: FakeServer) -> None:
    """Promise: what it can't do is said in precise words, and not passed over."""
    server.ignored = {"no_cache", "build_id", "steps_only"}
    for command in ("build", "deploy"):
        done = await sealift(command, "--no-cache")
        assert done.code == 0
        assert "warning: the server is an older version and ignores --no-cache" in done.err
    refused = await sealift("deploy", "--build", "bld_1")
    assert refused.code == 1
    assert "can't deploy a build by its id: it is an older Sealift server" in refused.err
    assert "compiling" not in (await sealift("build", "show", "bld_1")).out
    server.faults["CreateBuild"] = server.faults["ListBuilds"] = [grpc.StatusCode.UNIMPLEMENTED] * 2
    for command in ("build", "builds"):
        done = await sealift(command)
        assert done.code == 1
        assert "does not support this call: it is an older Sealift server" in done.err


async def test_the_same_key_builds_once(sealift: Program, server: FakeServer) -> None:
    """Promise: a repeated idempotency key gives the earlier build, and says so."""
    await sealift("build", "--idempotency-key", "k")
    done = await sealift("build", "--idempotency-key", "k")
    assert (done.code, done.out) == (0, "bld_1\n")
    assert "warning: no new build: the idempotency key 'k' was used" in done.err


async def test_a_first_build_creates_the_project(sealift: Program, server: FakeServer) -> None:
    """Promise: --create creates the project and the file, as for a deploy; without it the error names the command."""
    (sealift.cwd / "sealift.toml").unlink()
    refused = await sealift("build")
    assert refused.code == 2
    assert "`sealift build --create` creates one" in refused.err
    assert (await sealift("build", "--create")).code == 0
    assert "app" in server.projects


async def test_dry_run(sealift: Program, server: FakeServer) -> None:
    """Promise: the files are listed and nothing is sent."""
    subprocess.run(["git", "init", "-q"], cwd=sealift.cwd, env=sealift.env, check=True)  # noqa: ASYNC221
    done = await sealift("build", "--dry-run")
    assert done.code == 0
    assert "Dockerfile\n" in done.out
    assert "--branch" not in done.err
    assert json.loads((await sealift("build", "--dry-run", "--json")).out)["status"] == "dry_run"
    assert server.calls["GenerateUploadURL"] == 0


def test_steps_of_the_newest_attempt() -> None:
    """Promise: what a lost attempt did is not shown; a step counts as cached only if it did not run."""
    state = build_pb2.BuildStep(step_id="a", name="[1/1] RUN x", started_at=1000)

    def event(seq: int, attempt: int, number: int, step_id: str = "a") -> build_pb2.GetBuildLogsResponse:
        found = build_pb2.GetBuildLogsResponse(seq=seq, attempt=attempt, step=state)
        found.step.state, found.step.ended_at, found.step.step_id = number, 3000, step_id  # type: ignore[assignment]
        return found

    failed, completed, cached = (
        build_pb2.BUILD_STEP_STATE_FAILED,
        build_pb2.BUILD_STEP_STATE_COMPLETED,
        build_pb2.BUILD_STEP_STATE_CACHED,
    )
    steps = last_steps([event(1, 1, failed, "b"), event(2, 2, completed), event(3, 2, cached)])
    build = build_pb2.Build(build_id="bld_1", attempt=2, started_at=1, ended_at=2, status=build_pb2.BUILD_STATUS_FAILED)
    text = build_text(build, steps)
    assert "attempts    2" in text
    assert [line for line in text.splitlines() if line.startswith("step ")] == ["step        [1/1] RUN x  2.0 s"]
    assert "none stored" in build_text(build, [])
