"""`sealift deploy` as a process: what is sent, and what is left behind."""

import io
import subprocess
import tarfile
from pathlib import Path

import grpc

from sealift.cli.conftest import Eventually, Program
from sealift.client import testing_deployment
from sealift.client.context import scan
from sealift.client.fingerprint import is_settled
from sealift.client.testing import FakeServer
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


async def test_a_tunnel_that_leads_to_the_calls_alone(sealift: Program, server: FakeServer) -> None:
    """Promise: an upload URL for this machine that nobody answers at is replaced by the one for everybody; if that is
    the same, the deploy fails with the reason."""
    server.local_store_url = "http://127.0.0.1:9"
    done = await sealift("deploy")
    assert done.code == 0, done.err
    assert server.calls["GenerateUploadURL"] == 2
    assert len(server.store.objects) == 1
    server.store.objects.clear()
    server.local_store_url = ""
    server.store.stop()
    try:
        refused = await sealift("deploy")
        assert refused.code == 7
        assert "[upload.failed]" in refused.err
    finally:
        server.store.start()
