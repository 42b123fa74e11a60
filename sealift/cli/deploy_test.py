"""`sealift deploy` as a process: verdicts, streams, interrupts, what is sent and what is left behind."""

import asyncio
import io
import os
import pty
import signal
import subprocess
import tarfile
from pathlib import Path

import grpc
import pytest

from sealift.cli.conftest import BOUND_S, Eventually, Program
from sealift.client import testing_deployment
from sealift.client.context import scan
from sealift.client.fingerprint import is_settled
from sealift.client.testing import KEY, FakeServer
from sealift.client.testing_deployment import FakeDeployment
from sealift.ctrl.v1 import deployment_pb2

URL = "http://hello.sealift.localhost:7480"


async def test_live(sealift: Program, server: FakeServer) -> None:
    """Promise: stdout has only the URL, stderr the rest; the context is the directory; exit 0."""
    done = await sealift("deploy")
    assert (done.code, done.out) == (0, f"{URL}\n")
    [content] = server.store.objects.values()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert tar.getnames() == ["Dockerfile", "app.py"]
    order = [
        "hello · production · main",
        "uploaded",
        "deployment dep_1",
        "Queued",
        "[2/2] RUN make",
        "linking",
        "Built",
    ]
    places = [done.err.index(text) for text in [*order, "Started", "Traffic moved", "Finished", "Live", "Total"]]
    assert places == sorted(places)
    assert "\x1b" not in done.err
    assert not list(sealift.temp.iterdir())


async def test_request(sealift: Program, server: FakeServer) -> None:
    """Promise: empty fields are not sent, given ones are; a secret is only in the request."""
    await sealift("deploy")
    sealift.env["TOKEN"] = "hunter2"
    sealift.files(sub__web_DOT_Dockerfile="FROM scratch")
    done = await sealift(
        "deploy", "--dockerfile", "sub/web.Dockerfile", "--build-arg", "A=b=c", "--secret", "id=tok,env=TOKEN",
        "--target", "run", "--branch", "dev", "--commit", "abcdef1", "--idempotency-key", "k1", "--env", "preview",
    )  # fmt: skip
    assert done.code == 0
    assert "hunter2" not in done.err + done.out
    plain, full = server.created
    assert not plain.HasField("git_commit")
    assert not plain.HasField("settings")
    assert not plain.build_context.HasField("dockerfile_path")
    assert not plain.build_context.HasField("target")
    assert plain.idempotency_key.startswith("cli-")
    context = full.build_context
    assert (context.dockerfile_path, context.target, dict(context.build_args)) == (
        "sub/web.Dockerfile",
        "run",
        {"A": "b=c"},
    )
    assert [(s.id, s.value) for s in context.secrets] == [("tok", b"hunter2")]
    assert (full.branch, full.git_commit.commit_sha, full.idempotency_key) == ("dev", "abcdef1", "k1")
    assert full.environment_slug == "preview"
    assert not full.git_commit.HasField("commit_message")


async def test_git_info(sealift: Program, server: FakeServer) -> None:
    """Promise: branch and commit are read from git; uncommitted changes are reported."""
    identity = ["-c", "user.name=A", "-c", "user.email=a@b"]
    for args in (["init", "-qb", "topic"], ["add", "."], ["commit", "-qm", "Ship 🚢"]):
        subprocess.run(["git", *identity, *args], cwd=sealift.cwd, env=sealift.env, check=True)  # noqa: ASYNC221
    sealift.files(app_DOT_py="print(2)")
    done = await sealift("deploy")
    request = server.created[0]
    assert request.branch == "topic"
    assert request.git_commit.commit_message == "Ship 🚢"
    assert request.git_commit.timestamp > 1_000_000_000_000
    assert "uncommitted changes" in done.err
    assert "files that git ignores" in done.err


async def test_settings_file(sealift: Program, server: FakeServer) -> None:
    """Promise: sealift.toml sets how the app runs; options override it; all problems are reported at once."""
    sealift.files(
        sealift_DOT_toml='project="hello"\nenvironment="preview"\nbranch="b"\n[build]\nargs={A="1",B="2"}\n'
        '[run]\nport=3000\ncommand=["x"]\n[run.health_check]\npath="/up"\n'
    )
    assert (await sealift("deploy", "--build-arg", "A=9")).code == 0
    request = server.created[0]
    assert (request.environment_slug, request.branch, dict(request.build_context.build_args)) == (
        "preview",
        "b",
        {"A": "9", "B": "2"},
    )
    assert (request.settings.port, list(request.settings.command.values)) == (3000, ["x"])
    assert not request.settings.HasField("replicas")
    assert request.settings.health_check.path == "/up"
    sealift.files(sealift_DOT_toml='projct="hello"\n[run]\nport=0\n')
    done = await sealift("deploy")
    assert done.code == 2
    assert "did you mean 'project'" in done.err
    assert "run.port" in done.err


async def test_a_port_by_option(sealift: Program, server: FakeServer) -> None:
    """Promise: --port overrides [run] port; a port out of range is a usage error."""
    sealift.files(sealift_DOT_toml='project="hello"\n[run]\nport=3000\nreplicas=2\n')
    assert (await sealift("deploy", "--port", "5000")).code == 0
    assert (server.created[0].settings.port, server.created[0].settings.replicas) == (5000, 2)
    done = await sealift("deploy", "--port", "70000")
    assert done.code == 2
    assert "from 1 to 65535" in done.err


async def test_bounds_of_replicas(sealift: Program, server: FakeServer) -> None:
    """Promise: the bounds of [run] are sent, and those that contradict each other are refused before an upload."""
    sealift.files(sealift_DOT_toml='project="hello"\n[run]\nmin_replicas=2\nmax_replicas=8\ntarget_cpu_percent=70\n')
    assert (await sealift("deploy")).code == 0
    sent = server.created[0].settings
    assert (sent.min_replicas, sent.max_replicas, sent.target_cpu_percent) == (2, 8, 70)
    assert not sent.HasField("replicas")
    sealift.files(sealift_DOT_toml='project="hello"\n[run]\nreplicas=2\nmax_replicas=8\n')
    done = await sealift("deploy")
    assert done.code == 2
    assert "replicas (2) is a fixed number, max_replicas (8) are bounds" in done.err
    assert len(server.created) == 1


async def test_ports_that_krane_waits_for_are_told_once(sealift: Program, server: FakeServer) -> None:
    """Promise: the reason why no port is usable yet is shown during the deploy."""

    async def two_ports(fake: FakeDeployment) -> None:
        await fake.begin("deploying")
        for _ in range(3):
            del fake.deployment.instances[:]
            fake.deployment.instances.add(instance_id="i", port_notice="the app listens on ports 8000 and 9090")
            await fake.tell()
        await fake.end(deployment_pb2.DEPLOYMENT_STATUS_READY)

    server.scenario = two_ports
    done = await sealift("deploy")
    assert done.err.count("waiting: the app listens on ports 8000 and 9090") == 1


async def test_unchanged_tree_sends_nothing(sealift: Program, server: FakeServer) -> None:
    """Promise: the same content is uploaded once."""
    await sealift("deploy")
    done = await sealift("deploy")
    assert server.store.puts == 1
    assert "upload, the server has these" in done.err
    assert len(server.created) == 2


async def test_unchanged_tree_is_not_packed_again(sealift: Program, server: FakeServer, eventually: Eventually) -> None:
    """Promise: an unchanged tree is not packed again; the sent content alone determines what is deployed."""
    records = Path(sealift.env["HOME"]) / ".cache/sealift/contexts"
    await eventually(lambda: is_settled(scan(sealift.cwd)))
    assert (await sealift("deploy", "--dry-run")).code == 0
    assert not records.exists()

    async def events() -> set[str]:
        done = await sealift("deploy", "--json")
        assert done.code == 0
        return {event["event"] for event in done.events}

    assert {"packed", "uploaded"} <= await events()
    assert not {"packed", "uploaded"} & await events()
    first, second = server.created
    assert first.build_context.build_context_path == second.build_context.build_context_path
    assert "unchanged: nothing to pack or upload" in (await sealift("deploy")).err
    [record] = records.iterdir()
    # the server has lost or forgotten it
    server.store.objects.clear()
    assert {"packed", "uploaded"} <= await events()
    # a damaged record
    record.write_text(record.read_text().replace("0", "1"))
    assert "packed" in await events()
    # a record that the server refuses
    server.faults["GenerateUploadURL"] = [grpc.StatusCode.INVALID_ARGUMENT]
    assert "packed" in await events()
    # a change, and what it leaves behind: nothing, as it is too young
    sealift.files(app_DOT_py="print(2)\n")
    assert {"packed", "uploaded"} <= await events()
    assert "packed" in await events()
    assert server.store.puts == 3


async def test_image(sealift: Program, server: FakeServer) -> None:
    """Promise: an image is deployed without a context; build options are refused."""
    assert (await sealift("deploy", "--image", "nginx:1")).code == 0
    assert server.created[0].docker_image == "nginx:1"
    assert not server.store.puts
    done = await sealift("deploy", ".", "--image", "nginx:1", "--target", "x")
    assert done.code == 2
    assert "omit PATH, --target" in done.err


async def test_build_failure(sealift: Program, server: FakeServer) -> None:
    """Promise: exit 4, the reason, the failing step's last lines, and the next command."""
    server.scenario = testing_deployment.building_fails
    done = await sealift("deploy")
    assert (done.code, done.out) == (4, "")
    tail = done.err[done.err.index("Build failed") :]
    assert "no rule to make target" in tail
    assert '"make" ended with code 7' in tail
    assert "sealift logs --build dep_1" in tail
    assert "build.command_failed" in tail


async def test_not_healthy(sealift: Program, server: FakeServer) -> None:
    """Promise: an app that does not become healthy is exit 5 with the reason."""
    server.scenario = testing_deployment.never_healthy
    done = await sealift("deploy")
    assert done.code == 5
    assert "nothing answers on port 8080" in done.err


async def test_cancelled(sealift: Program, server: FakeServer, eventually: Eventually) -> None:
    """Promise: a deployment cancelled elsewhere is exit 6."""
    server.scenario = testing_deployment.waits_for_cancel
    process = await sealift.start("deploy")
    await eventually(lambda: bool(server.deployments))
    assert (await sealift("cancel", "dep_1")).code == 0
    await process.communicate()
    assert process.returncode == 6


async def test_held_back(sealift: Program, server: FakeServer, eventually: Eventually) -> None:
    """Promise: a queued deployment shows the reason once, and has the usual outcome."""
    server.scenario = testing_deployment.is_held
    process = await sealift.start("deploy")
    await eventually(lambda: server.calls["WatchDeployment"] > 0)
    assert "queued      queued" not in (shown := (await sealift("status", "dep_1")).out)
    assert "queued      an upgrade is near" in shown
    server.deployments["dep_1"].cancelled.set()
    out, err = await process.communicate()
    assert (process.returncode, out.decode()) == (0, f"{URL}\n")
    assert err.decode().count("queued: an upgrade is near\n") == 1
    assert "queued" not in (await sealift("status", "dep_1")).out.replace("step        queued", "")


async def test_json(sealift: Program, server: FakeServer) -> None:
    """Promise: one object per line, the last one the result; also for failures."""
    done = await sealift("deploy", "--json")
    kinds = [event["event"] for event in done.events]
    assert kinds[-1] == "result"
    assert {"created", "step", "build_step", "build_line"} <= set(kinds)
    result = done.events[-1]
    assert (result["status"], result["exit_code"], result["url"]) == ("ready", 0, URL)
    assert done.err == ""
    server.scenario = testing_deployment.building_fails
    failed = (await sealift("deploy", "--json")).events[-1]
    assert (failed["status"], failed["exit_code"], failed["code"]) == ("failed", 4, "build.command_failed")
    refused = await sealift("deploy", "--json", "--project", "nope")
    assert refused.events[-1]["code"] == "project.not_found"


async def test_detach(sealift: Program, server: FakeServer) -> None:
    """Promise: --detach prints the id and does not wait; status --wait shows the outcome later."""
    server.scenario = testing_deployment.waits_for_cancel
    done = await sealift("deploy", "--detach")
    assert (done.code, done.out) == (0, "dep_1\n")
    server.deployments["dep_1"].cancelled.set()
    assert (await sealift("status", "--wait", "dep_1")).code == 6


async def test_interrupt_while_waiting(sealift: Program, server: FakeServer) -> None:
    """Promise: Ctrl-C leaves the deployment running, shows how to wait and cancel, and exits with 130."""
    server.scenario = testing_deployment.waits_for_cancel
    process = await sealift.start("deploy")
    assert process.stderr
    assert process.stdout
    seen = b""
    while b"Queued" not in seen and b"deployment dep_1" not in seen:
        seen += await process.stderr.readline()
    process.send_signal(signal.SIGINT)
    rest = await process.stderr.read()
    assert await process.wait() == 130
    assert b"dep_1 continues" in rest
    assert b"sealift cancel dep_1" in rest
    assert not server.deployments["dep_1"].cancelled.is_set()
    await process.stdout.read()


async def test_interrupt_while_asking(sealift: Program, server: FakeServer) -> None:
    """Promise: a signal before the deployment was created says so, exits with 130 and leaves no file."""
    server.faults["GetProject"] = [grpc.StatusCode.UNAVAILABLE] * 100
    process = await sealift.start("deploy")
    assert process.stderr
    assert process.stdout
    while b"context:" not in await process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    rest = await process.stderr.read()
    assert await process.wait() == 130
    assert b"nothing was deployed" in rest
    assert not list(sealift.temp.iterdir())
    await process.stdout.read()


async def test_lost_streams(sealift: Program, server: FakeServer) -> None:
    """Promise: if every stream is cut repeatedly, the outcome and the whole log still arrive."""
    server.cut_streams_after = 1
    done = await sealift("deploy")
    assert done.code == 0
    assert done.err.count("linking") == 1


async def test_expired_upload_address(sealift: Program, server: FakeServer) -> None:
    """Promise: an expired upload URL is requested again once."""
    server.store.answers = [403]
    assert (await sealift("deploy")).code == 0
    server.store.objects.clear()
    server.store.answers = [403, 403]
    done = await sealift("deploy")
    assert done.code == 1
    assert "topsecret" not in done.err


async def test_too_large(sealift: Program, server: FakeServer) -> None:
    """Promise: a context over the server's limit is refused before the upload."""
    server.max_context_bytes = 100
    done = await sealift("deploy")
    assert done.code == 2
    assert "limit of 100 B" in done.err
    assert not server.store.puts


async def test_wait_timeout(sealift: Program, server: FakeServer) -> None:
    """Promise: waiting has a timeout; the deployment continues, and a message says so."""
    server.scenario = testing_deployment.waits_for_cancel
    done = await sealift("deploy", "--wait-timeout", "1")
    assert done.code == 5
    assert "dep_1 continues" in done.err


async def test_bad_surroundings(sealift: Program, server: FakeServer) -> None:
    """Promise: wrong key 3, no server 7, no project or directory 2, each with the next step."""
    sealift.env["SEALIFT_API_KEY"] = "slk_wrong"
    assert (await sealift("deploy")).code == 3
    sealift.env["SEALIFT_API_KEY"] = ""
    done = await sealift("deploy")
    assert done.code == 3
    assert "SEALIFT_API_KEY" in done.err
    sealift.env["SEALIFT_API_KEY"] = KEY
    sealift.env["SEALIFT_URL"] = "http://127.0.0.1:9"
    assert (await sealift("deploy")).code == 7
    assert (await sealift("deploy", "nowhere", "--project", "x")).code == 2
    (sealift.cwd / "sealift.toml").unlink()
    done = await sealift("deploy")
    assert done.code == 2
    assert "sealift init" in done.err


async def test_dry_run(sealift: Program, server: FakeServer) -> None:
    """Promise: --dry-run lists files, bytes and the rule, without calls."""
    sealift.files(_DOT_dockerignore="*.md", notes_DOT_md="x", _DOT_env="S=1")
    done = await sealift("deploy", "--dry-run")
    assert done.code == 0
    assert [line.split()[1] for line in done.out.splitlines()] == [
        ".dockerignore", ".env", "Dockerfile", "app.py",
    ]  # fmt: skip
    assert "filtered by .dockerignore" in done.err
    assert "look like secrets: .env" in done.err
    assert not server.metadata
    listed = (await sealift("deploy", "--dry-run", "--json")).events[-1]
    assert listed["ignore_file"] == ".dockerignore"


async def test_hostile_log(sealift: Program, server: FakeServer) -> None:
    """Promise: terminal escapes in build output are removed."""

    async def hostile(fake: FakeDeployment) -> None:
        await fake.begin("building")
        await fake.line("", "\x1b]0;owned\x07\x1b[2Jfine\x9b31m\u202e!")
        await fake.end_build(3)  # type: ignore[arg-type]
        await fake.end(deployment_pb2.DEPLOYMENT_STATUS_READY)

    server.scenario = hostile
    done = await sealift("deploy")
    assert "  fine!\n" in done.err
    assert "owned" not in done.err
    assert "\x1b" not in done.err


async def test_a_directory_that_is_not_there(sealift: Program, server: FakeServer) -> None:
    """Promise: a mistyped path is reported before any question about projects."""
    for path, said in (
        ("nosuchdir", "the directory nosuchdir does not exist"),
        ("app.py", "app.py is not a directory"),
    ):
        (sealift.cwd / "sealift.toml").unlink(missing_ok=True)
        done = await sealift("deploy", path)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
        assert "project" not in done.err


async def test_a_first_deploy_makes_the_project(sealift: Program, server: FakeServer) -> None:
    """Promise: --create creates project and sealift.toml from the directory's name; without it nothing is created."""
    (sealift.cwd / "sealift.toml").unlink()
    asked = await sealift("deploy")
    assert asked.code == 2
    assert "`sealift deploy --create` creates one" in asked.err
    assert set(server.projects) == {"hello"}
    done = await sealift("deploy", "--create", "--json")
    assert (done.code, done.events[-1]["status"]) == (0, "ready")
    assert 'project = "app"' in (sealift.cwd / "sealift.toml").read_text()
    assert set(server.projects) == {"hello", "app"}
    assert (await sealift("deploy", "--create")).code == 0
    assert (await sealift("deploy", "--create", "--project", "other")).code == 0
    assert "other" in server.projects


async def test_a_first_deploy_takes_over_no_other_app(sealift: Program, server: FakeServer) -> None:
    """Promise: two apps in directories called "app" don't replace each other: a derived name must be new."""
    (sealift.cwd / "sealift.toml").unlink()
    assert (await sealift("projects", "create", "app")).code == 0
    done = await sealift("deploy", "--create")
    assert done.code == 2
    assert "the project 'app' exists already" in done.err
    assert "\n  sealift deploy --project app\n" in done.err
    assert not (sealift.cwd / "sealift.toml").exists()
    assert not server.created
    assert (await sealift("deploy", "--create", "--project", "app")).code == 0


async def test_what_cannot_be_deployed_makes_no_project(sealift: Program, server: FakeServer) -> None:
    """Promise: in a directory without a Dockerfile, --create creates nothing."""
    for name in ("sealift.toml", "Dockerfile"):
        (sealift.cwd / name).unlink()
    for words in ((), ("--project", "other")):
        done = await sealift("deploy", "--create", *words)
        assert (done.code, "has no Dockerfile" in done.err) == (2, True)
    assert set(server.projects) == {"hello"}
    assert not (sealift.cwd / "sealift.toml").exists()


async def test_another_dockerfile_is_named_once(sealift: Program) -> None:
    """Promise: a Dockerfile under another name is suggested in one line."""
    (sealift.cwd / "Dockerfile").rename(sealift.cwd / "DockerFile")
    done = await sealift("deploy")
    assert done.code == 2
    assert "`sealift deploy --dockerfile DockerFile` uses it" in done.err
    assert done.err.count("--dockerfile") == 1


async def test_a_near_match_is_no_dead_end(sealift: Program) -> None:
    """Promise: a suggestion is accompanied by the command that creates the project."""
    done = await sealift("deploy", "--project", "helo")
    assert done.code == 1
    assert "did you mean 'hello'? Otherwise create it with: sealift projects create helo" in done.err


@pytest.mark.parametrize(("answer", "code"), [(b"\r", 0), (b"n\r", 130), (b"\x03", 130)])
async def test_a_first_deploy_asks(sealift: Program, server: FakeServer, answer: bytes, code: int) -> None:
    """Promise: at a terminal, the first deploy asks one question; a no creates nothing."""
    (sealift.cwd / "sealift.toml").unlink()
    master, slave = pty.openpty()
    sealift.env["TERM"] = "xterm"
    process = await sealift.start_at(slave, "deploy")
    os.close(slave)
    reading = asyncio.create_task(asyncio.to_thread(read_to_the_end, master, b"[Y/n]", answer))
    assert await asyncio.wait_for(process.wait(), BOUND_S) == code
    shown = await asyncio.wait_for(reading, BOUND_S)
    os.close(master)
    assert "Create the project 'app'" in " ".join(shown.split())
    assert ("nothing was done" in shown) == answer.startswith(b"n")
    assert ("app" in server.projects) == (code == 0)
    assert (sealift.cwd / "sealift.toml").exists() == (code == 0)


def read_to_the_end(terminal: int, question: bytes, answer: bytes) -> str:
    """What is shown; the answer is given once, after the question."""
    shown = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            return shown.decode()
        if not part:
            return shown.decode()
        is_asked = question in shown
        shown += part
        if question in shown and not is_asked:
            os.write(terminal, answer)


async def test_a_repeated_idempotency_key_is_said(sealift: Program, server: FakeServer) -> None:
    """Promise: a repeated idempotency key shows that the outcome is that of an earlier deployment."""
    server.scenario = testing_deployment.building_fails
    first = await sealift("deploy", "--idempotency-key", "job-7")
    assert "nothing new" not in first.err
    again = await sealift("deploy", "--idempotency-key", "job-7", "--json")
    assert again.code == first.code == 4
    assert len(server.created) == 1
    warnings = [event["text"] for event in again.events if event["event"] == "warning"]
    assert any("'job-7' was used" in text and "dep_1" in text and "another key" in text for text in warnings)


@pytest.mark.parametrize("code", ["instance.no_command", "instance.command_ended"])
async def test_an_image_without_a_server_is_told_where_one_is_named(
    sealift: Program, server: FakeServer, code: str
) -> None:
    """Promise: if the image's command is at fault, the start command from a Procfile or package.json is suggested."""

    async def ends(fake: FakeDeployment) -> None:
        await fake.begin("deploying")
        failed = deployment_pb2.DEPLOYMENT_STATUS_FAILED
        await fake.end(failed, code=code, message="the app exited with code 0: 'node'", step="deploying")

    server.scenario = ends
    assert "CMD" not in (await sealift("deploy")).err
    sealift.files(package_DOT_json='{"scripts": {"start": "node server.js"}}')
    done = await sealift("deploy", "--json")
    assert done.code == 5
    assert done.events[-1]["next_steps"][0] == (
        'package.json has the start script “node server.js”: end the Dockerfile with CMD ["npm", "start"], '
        "or set [run] command in sealift.toml to the same array"
    )


async def test_a_missing_dockerfile_is_told_with_what_lies_there(sealift: Program) -> None:
    """Promise: without a Dockerfile, Procfiles and Dockerfiles in subdirectories are listed with the next step."""
    (sealift.cwd / "Dockerfile").unlink()
    sealift.files(Procfile="web: gunicorn app:app", api__Dockerfile="FROM scratch")
    done = await sealift("deploy")
    assert done.code == 2
    said = " ".join(done.err.split())
    assert '“web: gunicorn app:app”: in a Dockerfile this is CMD ["gunicorn", "app:app"]' in said
    assert "`sealift deploy api` uses it" in said
    assert "[context.no_dockerfile]" in said
