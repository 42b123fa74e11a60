"""Commands in Pods by the protocol of nodes, played by a server whose Pods are processes of this machine."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from lightkube.config.kubeconfig import KubeConfig, SingleConfig

from pkg.errors import FailedPrecondition, Unavailable
from pkg.testing.wait import WAIT_S
from svc.krane.runtime.exec_contract import all_of, spec
from svc.krane.runtime.execs import ExecEnd, ExecOutput
from svc.krane.runtime.kubernetes.exec import PodExec, PodExecs
from svc.krane.runtime.kubernetes.exec_socket import ERROR, RESIZE, STDERR, STDIN, STDOUT, ExecSockets
from svc.krane.runtime.kubernetes.wire import Metadata, Pod

POD = Pod(metadata=Metadata(name="dep-1-0", namespace="apps", uid="u"))
PATH = "/api/v1/namespaces/apps/pods/dep-1-0/exec"


@dataclass
class Node:
    """The server.

    Attributes:
        refuses: the HTTP status of the next requests; 0: none.
        has_shell: whether it executes `sh`.
        running: processes that it has begun.
        sizes: of terminals, as they were told.
        logins: of the requests.
    """

    refuses: int = 0
    has_shell: bool = True
    running: list[asyncio.subprocess.Process] = field(default_factory=list)
    sizes: list[Any] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.logins.append(request.headers.get("Authorization", ""))
        if self.refuses:
            return web.json_response({"message": "no"}, status=self.refuses)
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)
        command, has_stdin = request.query.getall("command"), request.query["stdin"] == "true"
        if command[0] == "sh" and not self.has_shell:
            await self._end(socket, {"status": "Failure", "message": 'exec: "sh": executable file not found in $PATH'})
            return socket
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe if has_stdin else asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        self.running.append(process)
        reading = asyncio.create_task(self._read(socket, process))
        await asyncio.gather(self._copy(socket, process.stdout, STDOUT), self._copy(socket, process.stderr, STDERR))
        code = await process.wait()
        code = code if code >= 0 else 128 - code
        status: dict[str, Any] = {"status": "Success"}
        if code:
            causes = [{"reason": "ExitCode", "message": str(code)}]
            status = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}
        await self._end(socket, status)
        reading.cancel()
        return socket

    async def _read(self, socket: web.WebSocketResponse, process: asyncio.subprocess.Process) -> None:
        """As a node: what a client sends; the end of the connection is the end of stdin, and of nothing else."""
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data[0] == STDIN and process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.write(message.data[1:])
                    await process.stdin.drain()
            elif message.type is WSMsgType.BINARY and message.data[0] == RESIZE:
                self.sizes.append(json.loads(message.data[1:]))
        if process.stdin is not None:
            process.stdin.close()

    async def _copy(self, socket: web.WebSocketResponse, stream: Any, channel: int) -> None:
        while data := await stream.read(200_000):
            with contextlib.suppress(OSError, RuntimeError):
                await socket.send_bytes(bytes([channel]) + data)

    async def _end(self, socket: web.WebSocketResponse, status: Any) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            await socket.send_bytes(bytes([ERROR]) + json.dumps(status).encode())
            await socket.close()


def config(port: int) -> SingleConfig:
    found = KubeConfig.from_dict({
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }).get()  # fmt: skip
    assert found is not None
    return found


@dataclass
class Scene:
    node: Node
    sockets: ExecSockets
    execs: PodExecs


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    node = Node()
    app = web.Application()
    app.router.add_get(PATH, node.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sockets = ExecSockets(config(runner.addresses[0][1]))
    try:
        yield Scene(node, sockets, PodExecs(sockets))
    finally:
        await sockets.close()
        for process in node.running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await runner.cleanup()


async def first_line(process: PodExec) -> bytes:
    piece = await asyncio.wait_for(process.read(), WAIT_S)
    assert isinstance(piece, ExecOutput)
    return piece.data


async def test_output_stdin_and_code(scene: Scene) -> None:
    """Promise: outputs come apart, in pieces of a bound; stdin comes whole, with its end; the code is the command's."""
    process = await scene.execs.start(POD, spec("sh", "-c", "echo err >&2; cat; exit 3", stdin=True))
    data = bytes(range(256)) * 2000
    for at in range(0, len(data), 65_536):
        await process.write(data[at : at + 65_536])
    await process.end_stdin()
    assert await all_of(process) == (data, b"err\n", ExecEnd(3))
    await process.close()
    assert [await one.wait() for one in scene.node.running] == [0, 3]
    assert set(scene.node.logins) == {"Bearer secret"}


async def test_the_guard_ends_what_is_closed_or_lost(scene: Scene) -> None:
    """Promise: the command ends when it is closed, and when krane's connections end without a word."""
    for is_lost in (False, True):
        process = await scene.execs.start(POD, spec("sh", "-c", "echo ready; exec sleep 600"))
        assert await first_line(process) == b"ready\n"
        command = scene.node.running[-1]
        if is_lost:
            await scene.sockets.close()
        else:
            await process.close()
        assert await asyncio.wait_for(command.wait(), WAIT_S) == -signal.SIGHUP
        if is_lost:
            await process.close()


async def test_signals_go_through_the_guard(scene: Scene) -> None:
    """Promise: a signal reaches the command."""
    process = await scene.execs.start(
        POD, spec("sh", "-c", "trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done")
    )
    assert await first_line(process) == b"ready\n"
    await process.signal(signal.SIGUSR1)
    assert (await all_of(process))[2] == ExecEnd(5)
    await process.close()


async def test_the_size_of_a_terminal(scene: Scene) -> None:
    """Promise: the size is told at the begin, and when it changes; keys are sent as they are."""
    process = await scene.execs.start(POD, spec("head", "-c", "2", stdin=True, tty=True, columns=97))
    await process.resize(101, 33)
    await process.write(b"ab")
    assert (await all_of(process))[0] == b"ab"
    assert scene.node.sizes == [{"Width": 97, "Height": 24}, {"Width": 101, "Height": 33}]
    await process.close()


async def test_without_a_shell(scene: Scene) -> None:
    """Promise: the command runs as it is, and what does not hold is said."""
    scene.node.has_shell = False
    process = await scene.execs.start(POD, spec("echo", "word"))
    assert "no shell" in process.notice
    assert await all_of(process) == (b"word\n", b"", ExecEnd(0))
    await process.close()
    process = await scene.execs.start(POD, spec("sh"))
    assert (await all_of(process))[2].exit_code == 127


@pytest.mark.parametrize(("status", "kind"), [(404, FailedPrecondition), (403, Unavailable), (500, Unavailable)])
async def test_a_refusal_of_the_server(scene: Scene, status: int, kind: type[Exception]) -> None:
    """Promise: a Pod that is gone, and a server that refuses, have codes and words of their own."""
    scene.node.refuses = status
    with pytest.raises(kind) as refused:
        await scene.execs.start(POD, spec("true"))
    assert ("pods/exec" in str(refused.value)) is (status == 403)


async def test_a_server_that_is_away() -> None:
    """Promise: that is what it is."""
    sockets = ExecSockets(config(9))
    with pytest.raises(Unavailable):
        await PodExecs(sockets).start(POD, spec("true"))
    await sockets.close()
