"""Commands in instances through the api: a client on one side, krane as its stubs on the other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from grpc import aio
from msgspec.structs import replace
from sqlalchemy import select

from pkg.audit.tables import audit_log
from pkg.config.sections import Exec
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import cluster_pb2, deployment_pb2, environment_pb2, exec_pb2_grpc, key_pb2
from sealift.ctrl.v1 import exec_pb2 as pb
from svc.api.cluster_testing import register, report, seen
from svc.api.conftest import Deploy
from svc.api.deployment_testing import make_ready
from svc.api.testing import REGION, RecordingRestate, RunningApi, config_in, refused, running_api

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
SECRET = "hunter2-hunter2"
BOUNDS = Exec(max_running=3, max_per_region=2, max_per_environment=1, idle_timeout_s=2, max_duration_s=60)


class Side:
    """One end of a call in both directions."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def read(self) -> Any:
        """The next message that is no keepalive; None at the end."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self.call.read()
                if message is aio.EOF:
                    return None
                if message.ListFields():
                    return message

    async def problem(self) -> tuple[grpc.StatusCode, str, str, str]:
        """How the call is refused."""
        with pytest.raises(aio.AioRpcError) as caught:
            await self._rest()
        return refused(caught.value)

    async def _rest(self) -> None:
        while await self.read() is not None:
            pass
        await self.call


class Scene:
    """A deployment with an instance, its krane, and clients.

    Attributes:
        krane: the stream of commands, once `serve` was called.
    """

    def __init__(self, api: RunningApi, deployment: deployment_pb2.Deployment, channel: aio.Channel) -> None:
        self.api = api
        self.deployment = deployment
        self._stub: Any = exec_pb2_grpc.ExecServiceStub(channel)
        self.krane: Any = None
        self.calls: list[Any] = []

    async def serve(self) -> None:
        """Krane waits for commands."""
        self.krane = self.api.krane.cluster.ServeExecs(pb.ServeExecsRequest(region=REGION))
        self.calls.append(self.krane)
        assert not (await self.krane.read()).HasField("task")

    async def task(self) -> pb.ExecTask:
        """The next command that krane is asked for."""
        while True:
            message = await self.krane.read()
            if message.HasField("task"):
                found: pb.ExecTask = message.task
                return found

    async def ask(self, key: str = "", **message: Any) -> Side:
        """A client's call with its first message."""
        call = self._stub.Exec(metadata=(("authorization", f"Bearer {key or self.api.admin_key}"),))
        self.calls.append(call)
        await call.write(pb.ExecRequest(**message))
        return Side(call)

    async def begin(self, **fields: Any) -> tuple[Side, Side, pb.ExecTask]:
        """A command that krane has taken: client, krane, task."""
        given = {"environment_id": self.deployment.environment_id, "command": ["sh"], **fields}
        client = await self.ask(start=pb.ExecStart(**given))
        task = await asyncio.wait_for(self.task(), WAIT_S)
        krane = await self.connect(task.exec_id)
        await krane.call.write(pb.ConnectExecRequest(output=pb.ExecOutput(started=pb.ExecStarted(region=REGION))))
        assert (await client.read()).output.started.region == REGION
        return client, krane, task

    async def connect(self, exec_id: str, region: str = REGION) -> Side:
        """Krane's call of one command."""
        stub: Any = self.api.krane.cluster.ConnectExec
        call = stub()
        self.calls.append(call)
        await call.write(pb.ConnectExecRequest(region=region, exec_id=exec_id))
        return Side(call)


@asynccontextmanager
async def scene_on(api: RunningApi, deploy: Callable[[], Awaitable[deployment_pb2.Deployment]]) -> AsyncIterator[Scene]:
    await register(api)
    deployment = await deploy()
    await api.db.write(make_ready, deployment.deployment_id, hostname="hello.sealift.localhost")
    await report(api, seen(deployment.deployment_id, HEALTHY, name="dep-x"))
    async with aio.insecure_channel(api.grpc) as channel:
        scene = Scene(api, deployment, channel)
        try:
            yield scene
        finally:
            for call in scene.calls:
                call.cancel()


@pytest.fixture
async def api(tmp_path: Path, restate: RecordingRestate) -> AsyncIterator[RunningApi]:
    async with running_api(replace(config_in(tmp_path, restate.url), exec=BOUNDS)) as one:
        yield one


@pytest.fixture
async def scene(api: RunningApi, deploy: Deploy) -> AsyncIterator[Scene]:
    async with scene_on(api, lambda: deploy(variables={"TOKEN": SECRET})) as one:
        await one.serve()
        yield one


async def audited(api: RunningApi) -> list[Any]:
    method = "/sealift.ctrl.v1.ExecService/Exec"
    query = select(audit_log).where(audit_log.c.method == method).order_by(audit_log.c.id)
    return await api.db.read(lambda connection: list(connection.execute(query)))


async def test_bytes_go_both_ways(scene: Scene) -> None:
    """Promise: what the client sends reaches krane in order, and back; the exit code ends both calls."""
    client, krane, task = await scene.begin(stdin=True, tty=True, size=pb.TerminalSize(columns=80, rows=24))
    start = task.start
    assert (start.deployment_id, start.region, start.replica) == (scene.deployment.deployment_id, REGION, 0)
    assert (task.instance_id, list(start.command), start.size.columns) == ("dep-x-0", ["sh"], 80)
    sent = [
        pb.ExecInput(stdin=b"ls\n"),
        pb.ExecInput(resize=pb.TerminalSize(columns=100, rows=30)),
        pb.ExecInput(signal=pb.EXEC_SIGNAL_INT),
        pb.ExecInput(stdin_end=pb.StdinEnd()),
    ]
    for message in sent:
        await client.call.write(pb.ExecRequest(input=message))
    assert [(await krane.read()).input for _ in sent] == sent
    said = [pb.ExecOutput(stdin_taken=3), pb.ExecOutput(stdout=b"a"), pb.ExecOutput(stderr=b"b")]
    said.append(pb.ExecOutput(exit=pb.ExecExit(exit_code=7)))
    for output in said:
        await krane.call.write(pb.ConnectExecRequest(output=output))
    assert [(await client.read()).output for _ in said] == said
    assert await client.read() is None
    assert await krane.read() is None


async def test_the_command_is_audited_without_secrets(scene: Scene) -> None:
    """Promise: who ran what, where, is recorded before it begins; of its input nothing, and no value of a variable."""
    before = len(await audited(scene.api))
    client, _, _ = await scene.begin(command=["echo", "a b", SECRET])
    await client.call.write(pb.ExecRequest(input=pb.ExecInput(stdin=b"typed")))
    row = (await audited(scene.api))[before]
    assert row.targets_json == {
        "project_id": scene.deployment.project_id,
        "environment_id": scene.deployment.environment_id,
        "deployment_id": scene.deployment.deployment_id,
        "instance_id": "dep-x-0",
        "command": "echo 'a b' ***",
    }
    assert row.key_name == "admin"


async def test_who_may_deploy_may_exec(scene: Scene, api: RunningApi) -> None:
    """Promise: a key of the role deploy may run commands; krane's may not, and no key may not."""
    made = await api.admin.key.CreateKey(key_pb2.CreateKeyRequest(name="ci", role=key_pb2.KEY_ROLE_DEPLOY))
    start = pb.ExecStart(environment_id=scene.deployment.environment_id, command=["true"])
    await scene.ask(made.secret, start=start)
    await asyncio.wait_for(scene.task(), WAIT_S)
    for key, code in ((api.krane_key, "auth.role"), ("slk_unknown", "auth.key_invalid")):
        assert (await (await scene.ask(key, start=start)).problem())[1] == code


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"command": []}, "start.command"),
        ({"command": [""]}, "start.command"),
        ({"command": ["a\0b"]}, "start.command"),
        ({"command": ["x"] * 257}, "start.command"),
        ({"command": ["x" * 70_000]}, "start.command"),
        ({"environment_id": "", "deployment_id": ""}, "start.environment_id"),
        ({"deployment_id": "dep_" + "0" * 26}, "start.environment_id"),
        ({"environment_id": "nonsense"}, "start.environment_id"),
        ({"region": "No Region"}, "start.region"),
        ({"replica": 5000}, "start.replica"),
        ({"process": "web"}, "start.process"),
        ({"process": "No Name"}, "start.process"),
        ({"terminal_type": "a b"}, "start.terminal_type"),
        ({"size": pb.TerminalSize(columns=0, rows=1)}, "start.size.columns"),
    ],
)
async def test_bad_input_is_refused(scene: Scene, fields: dict[str, Any], field: str) -> None:
    """Promise: what is wrong with the first message is said by its field, and nothing begins."""
    given = {"environment_id": scene.deployment.environment_id, "command": ["true"], **fields}
    problem = await (await scene.ask(start=pb.ExecStart(**given))).problem()
    assert (problem[0], problem[2]) == (grpc.StatusCode.INVALID_ARGUMENT, field)


async def test_bad_messages_end_the_call(scene: Scene) -> None:
    """Promise: a wrong message in the middle ends the command, and says what is wrong."""
    for message, field in (
        (pb.ExecRequest(input=pb.ExecInput()), "input"),
        (pb.ExecRequest(input=pb.ExecInput(signal=99)), "input.signal"),  # type: ignore[arg-type]
        (pb.ExecRequest(start=pb.ExecStart()), "input"),
    ):
        client, krane, _ = await scene.begin()
        await client.call.write(message)
        assert (await client.problem())[2] == field
        assert await krane.read() is None


async def test_the_window_of_stdin(scene: Scene) -> None:
    """Promise: a client that does not wait for the command to take its stdin is cut; signals pass a full window."""
    client, krane, _ = await scene.begin(stdin=True)
    for _ in range(4):
        await client.call.write(pb.ExecRequest(input=pb.ExecInput(stdin=b"x" * 65_536)))
    await client.call.write(pb.ExecRequest(input=pb.ExecInput(signal=pb.EXEC_SIGNAL_INT)))
    for _ in range(4):
        assert len((await krane.read()).input.stdin) == 65_536
    assert (await krane.read()).input.signal == pb.EXEC_SIGNAL_INT
    await krane.call.write(pb.ConnectExecRequest(output=pb.ExecOutput(stdin_taken=65_536)))
    assert (await client.read()).output.stdin_taken == 65_536
    await client.call.write(pb.ExecRequest(input=pb.ExecInput(stdin=b"x" * 65_536)))
    await client.call.write(pb.ExecRequest(input=pb.ExecInput(stdin=b"x")))
    assert (await client.problem())[1] == "exec.stdin_window"


async def test_the_instance_is_chosen(scene: Scene, api: RunningApi, deploy: Deploy) -> None:
    """Promise: the first healthy instance, or the one that is named; else the reason, with what there is."""
    ident = scene.deployment.deployment_id
    unhealthy = deployment_pb2.INSTANCE_STATE_UNHEALTHY
    await report(api, seen(ident, unhealthy, name="dep-x", replica=0), seen(ident, HEALTHY, name="dep-x", replica=1))
    for given, name in (({}, "dep-x-1"), ({"replica": 0}, "dep-x-0")):
        client, krane, task = await scene.begin(**given)
        assert task.instance_id == name
        client.call.cancel()
        assert await krane.read() is None

    async def why(**fields: Any) -> str:
        problem = await (await scene.ask(start=pb.ExecStart(command=["true"], **fields))).problem()
        assert (problem[0], problem[1]) == (grpc.StatusCode.FAILED_PRECONDITION, "exec.no_instance")
        return problem[3]

    assert "has no instance 4 that runs; those that run: 0, 1" in await why(deployment_id=ident, replica=4)
    assert "runs in region 'elsewhere'" in await why(deployment_id=ident, region="elsewhere")
    other = await deploy()
    assert "No instance of" in await why(deployment_id=other.deployment_id)
    made = await api.admin.environment.CreateEnvironment(
        environment_pb2.CreateEnvironmentRequest(project_id=scene.deployment.project_id, slug="empty")
    )
    assert "No deployment is live" in await why(environment_id=made.environment.environment_id)


async def test_a_process_is_named(scene: Scene, api: RunningApi) -> None:
    """Promise: instances of processes beside web run only commands that name the process, and web's never these."""
    ident = scene.deployment.deployment_id

    def worker(replica: int) -> cluster_pb2.InstanceReport:
        found = seen(ident, HEALTHY, name="dep-x-worker", replica=replica)
        found.process = "worker"
        return found

    async def why(process: str) -> str:
        start = pb.ExecStart(command=["true"], deployment_id=ident, process=process)
        problem = await (await scene.ask(start=start)).problem()
        assert problem[1] == "exec.no_instance"
        return problem[3]

    await report(api, worker(0), complete=True)
    assert "No instance of" in await why("")
    await report(api, seen(ident, HEALTHY, name="dep-x", replica=0), worker(1))
    for given, name in (({}, "dep-x-0"), ({"process": "worker", "replica": 1}, "dep-x-worker-1")):
        client, krane, task = await scene.begin(**given)
        assert (task.instance_id, task.start.process) == (name, given.get("process", ""))
        client.call.cancel()
        assert await krane.read() is None
    assert "runs of process 'clock'" in await why("clock")


async def test_another_workspace_finds_nothing(scene: Scene) -> None:
    """Promise: an id that is not the workspace's is not found."""
    start = pb.ExecStart(deployment_id="dep_" + "0" * 26, command=["true"])
    assert (await (await scene.ask(start=start)).problem())[1] == "deployment.not_found"


async def test_a_bound_refuses(scene: Scene, api: RunningApi) -> None:
    """Promise: a command too many is refused with the bound that it would pass; one that has ended counts no more."""
    client, krane, _ = await scene.begin()
    start = pb.ExecStart(environment_id=scene.deployment.environment_id, command=["true"])
    rows = len(await audited(api))
    problem = await (await scene.ask(start=start)).problem()
    assert (problem[0], problem[1]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "exec.limit")
    assert "max_per_environment = 1" in problem[3]
    assert len(await audited(api)) == rows
    client.call.cancel()
    assert await krane.read() is None
    await scene.begin()


async def test_silence_ends_a_command(scene: Scene) -> None:
    """Promise: a command without input and output is ended after a while, and its client told why."""
    client, krane, _ = await scene.begin()
    last = (await client.read()).output.exit
    assert (last.exit_code, last.problem.code) == (137, "exec.idle")
    assert "idle_timeout_s" in last.problem.message
    assert await client.read() is None
    assert await krane.read() is None


async def test_the_client_leaves(scene: Scene) -> None:
    """Promise: krane's call ends with the client's, however the client ends."""
    client, krane, _ = await scene.begin()
    client.call.cancel()
    assert await krane.read() is None


async def test_krane_leaves(scene: Scene) -> None:
    """Promise: the client is told that the connection broke, also while it sends."""
    client, krane, _ = await scene.begin()
    krane.call.cancel()
    assert (await client.problem())[:2] == (grpc.StatusCode.UNAVAILABLE, "exec.interrupted")


async def test_krane_refuses(scene: Scene) -> None:
    """Promise: why krane could not begin a command is what the client is told; unknown codes are not passed on."""
    for code, status, told in (
        ("exec.not_running", "FAILED_PRECONDITION", "exec.not_running"),
        ("nonsense", "INTERNAL", "exec.interrupted"),
    ):
        given = pb.ExecStart(environment_id=scene.deployment.environment_id, command=["true"])
        client = await scene.ask(start=given)
        krane = await scene.connect((await scene.task()).exec_id)
        refusal = pb.ExecRefusal(status=status, code=code, message="because")
        await krane.call.write(pb.ConnectExecRequest(refusal=refusal))
        problem = await client.problem()
        assert (problem[1], problem[3]) == (told, "because")


async def test_only_krane_of_the_region_connects_and_once(scene: Scene) -> None:
    """Promise: a command is taken once, by the key of its region, and by nobody who guesses."""
    _, _, task = await scene.begin()
    for exec_id, region, code in (
        (task.exec_id, REGION, "exec.not_found"),
        ("exec_1", REGION, "exec.not_found"),
        (task.exec_id, "elsewhere", "auth.region"),
    ):
        assert (await (await scene.connect(exec_id, region)).problem())[1] == code


async def test_a_region_without_krane(api: RunningApi, deploy: Deploy) -> None:
    """Promise: where no krane waits for commands that is said at once, and nothing is recorded."""
    async with scene_on(api, deploy) as scene:
        start = pb.ExecStart(environment_id=scene.deployment.environment_id, command=["true"])
        problem = await (await scene.ask(start=start)).problem()
        assert problem[:2] == (grpc.StatusCode.UNAVAILABLE, "exec.region_away")
        assert await audited(api) == []


async def test_by_http_it_is_refused(scene: Scene) -> None:
    """Promise: what HTTP with JSON can't do says so."""
    async with (
        aiohttp.ClientSession(scene.api.http, headers=scene.api.headers()) as http,
        http.post("/sealift.ctrl.v1.ExecService/Exec", json={}) as response,
    ):
        answer = await response.json()
    assert answer["code"] == "failed_precondition"
    assert "gRPC" in answer["message"]


def test_bounds_of_the_configuration() -> None:
    """Promise: settings out of their bounds are refused by name."""
    assert Exec().problems() == []
    assert Exec(max_running=201, idle_timeout_s=0).problems() == [
        "max_running: expected 0 to 200, got 201", "idle_timeout_s: expected 1 to 86400, got 0",
    ]  # fmt: skip
