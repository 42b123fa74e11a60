"""`sealift run` as a process."""

import asyncio
import json
import signal

import pytest

from sealift.cli.conftest import BOUND_S, Eventually, Program
from sealift.client.testing import FakeServer
from sealift.client.testing_deployment import FakeDeployment
from sealift.ctrl.v1 import job_pb2


@pytest.fixture
async def app(sealift: Program, server: FakeServer) -> FakeDeployment:
    """What is live."""
    assert (await sealift("deploy", "--image", "x")).code == 0
    server.projects["hello"].live_deployment_id = "dep_1"
    return server.deployments["dep_1"]


async def test_output_and_exit_code(
    sealift: Program, server: FakeServer, app: FakeDeployment, eventually: Eventually
) -> None:
    """Promise: lines come as they are printed, stdout and stderr apart; the exit code is the job's."""
    process = await sealift.start("run", "--timeout", "90s", "--", "sh", "-c", "exit 3", "--project")
    await eventually(lambda: bool(server.commands))
    (request,) = server.commands
    assert (list(request.command), request.timeout_s) == (["sh", "-c", "exit 3", "--project"], 90)
    await server.job_moves("job_1", job_pb2.JOB_STATUS_RUNNING)
    await app.prints("one", instance="job-1")
    assert process.stdout is not None
    async with asyncio.timeout(BOUND_S):
        assert await process.stdout.readline() == b"one\n"
    await app.prints("two", stream=2, instance="job-1")
    await app.prints("of the app")
    await server.job_moves("job_1", job_pb2.JOB_STATUS_FAILED, exit_code=3)
    out, err = await asyncio.wait_for(process.communicate(), BOUND_S)
    assert (process.returncode, out) == (3, b"")
    assert b"two" in err
    assert b"of the app" not in out + err


@pytest.mark.parametrize(
    ("status", "fields", "code"),
    [
        (job_pb2.JOB_STATUS_SUCCEEDED, {"exit_code": 0}, 0),
        (job_pb2.JOB_STATUS_FAILED, {"exit_code": 300}, 255),
        (job_pb2.JOB_STATUS_FAILED, {}, 1),
        (job_pb2.JOB_STATUS_TIMED_OUT, {}, 124),
        (job_pb2.JOB_STATUS_STOPPED, {"exit_code": 143}, 6),
    ],
)
async def test_exit_codes(
    sealift: Program,
    server: FakeServer,
    app: FakeDeployment,
    eventually: Eventually,
    status: job_pb2.JobStatus.ValueType,
    fields: dict[str, int],
    code: int,
) -> None:
    """Promise: each end has a code, which --json repeats in its result."""
    process = await sealift.start("run", "--json", "--", "x")
    await eventually(lambda: bool(server.commands))
    await server.job_moves("job_1", status, **fields)
    out, _ = await asyncio.wait_for(process.communicate(), BOUND_S)
    result = json.loads(out.splitlines()[-1])
    assert (process.returncode, result["exit_code"], result["job_id"]) == (code, code, "job_1")


async def test_an_interrupt_ends_it(
    sealift: Program, server: FakeServer, app: FakeDeployment, eventually: Eventually
) -> None:
    """Promise: Ctrl-C stops the job and waits for its end; of one that was attached to, it goes on."""
    process = await sealift.start("run", "--", "x")
    await eventually(lambda: server.calls["WatchJob"] > 0)
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), BOUND_S)
    assert (process.returncode, server.stops) == (130, ["job_1"])
    assert (await sealift("run", "--detach", "--", "x")).out == "job_2\n"
    watched = server.calls["WatchJob"]
    process = await sealift.start("run", "--attach", "job_2")
    await eventually(lambda: server.calls["WatchJob"] > watched)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), BOUND_S)
    assert (process.returncode, server.stops) == (130, ["job_1"])
    assert b"job_2 goes on" in err


async def test_the_other_forms(sealift: Program, server: FakeServer, app: FakeDeployment) -> None:
    """Promise: list and stop; what excludes each other, and what is missing, is said."""
    await sealift("run", "-d", "--", "./import", "a b")
    listed = await sealift("run", "--list")
    assert listed.out.splitlines()[1].split()[:4] == ["job_1", "run", "pending", "-"]
    assert listed.out.splitlines()[1].endswith("./import 'a b'")
    assert (await sealift("run", "--stop", "job_1")).code == 0
    assert server.stops == ["job_1"]
    for words in (["run"], ["run", "--list", "--", "x"], ["run", "--timeout", "2d", "--", "x"]):
        assert (await sealift(*words)).code == 2
