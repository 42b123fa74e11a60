"""`sealift logs` of what apps print, as a process."""

import asyncio
import json

import pytest

from sealift.cli.conftest import BOUND_S, Eventually, Program
from sealift.client.testing import FakeServer
from sealift.client.testing_deployment import FakeDeployment
from sealift.ctrl.v1 import deployment_pb2

TIME = "2026-11-29T02:00:00.123Z"


@pytest.fixture
async def app(sealift: Program, server: FakeServer) -> FakeDeployment:
    """What is live."""
    assert (await sealift("deploy", "--image", "x")).code == 0
    server.projects["hello"].live_deployment_id = "dep_1"
    return server.deployments["dep_1"]


async def test_lines_of_the_live_deployment(sealift: Program, server: FakeServer, app: FakeDeployment) -> None:
    """Promise: without an id it is what is live; escapes are stripped, long lines whole, missing ones marked."""
    await sealift("deploy", "--image", "y", "--detach")
    await app.prints("\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07ok")
    await app.prints("a" * 16384, is_partial=True)
    await app.prints("other", replica=1)
    await app.prints("b")
    await app.prints("7 lines are missing", stream=3)
    done = await sealift("logs")
    assert done.out.splitlines() == [
        f"{TIME} local/0 red ok",
        f"{TIME} local/1 other",
        f"{TIME} local/0 {'a' * 16384}b",
        f"{TIME} local/0 # 7 lines are missing",
    ]
    (request,) = server.log_requests
    assert (request.deployment_id, request.follow, request.tail, request.since) == ("dep_1", False, 200, 0)


async def test_what_is_asked_for(sealift: Program, server: FakeServer, app: FakeDeployment) -> None:
    """Promise: each option reaches the server or filters here; --json has the text as it is, and a cursor."""
    await app.prints("GET /a 200")
    await app.prints("\x1b[1mGET\x1b[0m /b 500", stream=2)
    found = await sealift(
        "logs", "--grep", "GET /b [45]", "--json", "--since", "5m", "-i", "0", "-i", "local/1", "-i", "x"
    )
    assert found.events == [
        {
            "at": 1795917600123,
            "instance_id": "dep-1-0",
            "region": "local",
            "stream": "stderr",
            "text": "\x1b[1mGET\x1b[0m /b 500",
            "cursor": "c.2",
        }
    ]
    request = server.log_requests[-1]
    assert list(request.instance_ids) == ["dep-1-0", "dep-1-1", "x"]
    assert (request.tail, request.line_cursors) == (0, True)
    assert 0 < request.since < 1_795_917_600_123 * 2
    assert [one["text"] for one in (await sealift("logs", "--after", "c.1", "--json")).events] == [
        "\x1b[1mGET\x1b[0m /b 500"
    ]
    await sealift("logs", "-n", "7")
    assert server.log_requests[-1].tail == 7
    refused = await sealift("logs", "--grep", "(")
    assert (refused.code, "is not a regular expression" in refused.err) == (2, True)
    assert "no line matches" in (await sealift("logs", "--grep", "nothing")).err


async def test_following(sealift: Program, server: FakeServer, app: FakeDeployment, eventually: Eventually) -> None:
    """Promise: lines come as they are printed, each once, over lost streams; the end of the app ends it."""
    server.cut_streams_after = 2
    process = await sealift.start("logs", "-f", "--json")
    assert process.stdout is not None
    texts = []
    async with asyncio.timeout(BOUND_S):
        for number in range(6):
            await app.prints(f"line {number}")
            texts.append(json.loads(await process.stdout.readline())["text"])
        app.deployment.run_state = deployment_pb2.RUN_STATE_STOPPED
        server.cut_streams_after = None
        await app.tell()
        out, err = await process.communicate()
    assert texts == [f"line {number}" for number in range(6)]
    assert (out, process.returncode) == (b"", 0)
    assert b"no instance of dep_1 runs any more" in err


async def test_following_an_environment(sealift: Program, server: FakeServer, app: FakeDeployment) -> None:
    """Promise: without an id it goes on with what becomes live, with a note; nothing of before, no line twice."""
    process = await sealift.start("logs", "-f", "--json")
    assert process.stdout is not None
    texts = []

    async def printed(fake: FakeDeployment, text: str) -> None:
        await fake.prints(text)
        assert process.stdout is not None
        texts.append(json.loads(await process.stdout.readline())["text"])

    async with asyncio.timeout(BOUND_S):
        await printed(app, "old")
        assert (await sealift("deploy", "--image", "y")).code == 0
        new = server.deployments["dep_2"]
        await app.tell()
        await printed(new, "new")
        assert server.log_requests[-1].since > 1_700_000_000_000
        server.make_live(app.deployment)
        await new.tell()
        await printed(app, "old again")
        app.deployment.is_live = False
        app.deployment.run_state = deployment_pb2.RUN_STATE_STOPPED
        await app.tell()
        out, err = await process.communicate()
    assert (texts, out, process.returncode) == (["old", "new", "old again"], b"", 0)
    assert [line for line in err.decode().splitlines() if "dep_" in line] == [
        "dep_2 is live now, in place of dep_1: its lines follow",
        "dep_1 is live now, in place of dep_2: its lines follow",
        "no instance of dep_1 runs any more",
    ]


async def test_a_reader_that_ends_ends_it(sealift: Program, app: FakeDeployment) -> None:
    """Promise: `sealift logs -f | head -1` ends with the next line, without a traceback."""
    process = await sealift.start("logs", "-f")
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(BOUND_S):
        await app.prints("one")
        assert await process.stdout.readline()
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        for number in range(3):
            await app.prints(f"more {number}")
        assert b"Traceback" not in await process.stderr.read()
        await process.wait()


async def test_a_store_that_is_away_is_said(sealift: Program, server: FakeServer, app: FakeDeployment) -> None:
    """Promise: the server's words are shown, and the command fails."""
    server.log_problem = "the store of logs is away"
    done = await sealift("logs", "dep_1")
    assert done.code != 0
    assert "the store of logs is away" in done.err


async def test_what_a_failed_start_left(sealift: Program, server: FakeServer, app: FakeDeployment) -> None:
    """Promise: where no line is stored, the output that is kept of a failed start or of an exit is shown."""
    app.deployment.last_output.append("Traceback: no")
    done = await sealift("logs", "dep_1")
    assert done.out == "# before its start failed\nTraceback: no\n"
    del app.deployment.last_output[:]
    assert "its instances have printed nothing" in (await sealift("logs", "dep_1")).err


async def test_lines_of_a_process(sealift: Program, server: FakeServer, app: FakeDeployment) -> None:
    """Promise: --process reaches the server; with numbers, instances of the process are asked for; lines name it."""
    await app.prints("hello")
    app.app_lines[0].instance_id = "dep-1-worker-0"
    done = await sealift("logs", "--process", "worker")
    assert done.out == f"{TIME} local/worker/0 hello\n"
    assert (server.log_requests[-1].process, list(server.log_requests[-1].instance_ids)) == ("worker", [])
    await sealift("logs", "--process", "worker", "-i", "0", "-i", "local/2")
    request = server.log_requests[-1]
    assert (request.process, list(request.instance_ids)) == ("", ["dep-1-worker-0", "dep-1-worker-2"])
    await sealift("logs", "--process", "web", "-i", "0")
    assert list(server.log_requests[-1].instance_ids) == ["dep-1-0"]
    assert (await sealift("logs", "--build", "--process", "worker")).code == 2
