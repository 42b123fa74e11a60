"""`sealift deploy` as a process: verdicts, streams, interrupts, faults of the server."""

import signal

import grpc

from sealift.cli.conftest import Eventually, Program
from sealift.client import testing_deployment
from sealift.client.testing import KEY, FakeServer
from sealift.client.testing_deployment import FakeDeployment
from sealift.ctrl.v1 import deployment_pb2

URL = "http://hello.sealift.localhost:7480"


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
