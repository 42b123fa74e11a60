"""Promise: a BuildKit that hangs is healed on a private engine: apps run on, builds under way get another attempt."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc.aio
import pytest

from pkg.buildkit.pb import control_pb2_grpc
from pkg.buildkit.solver import BEGIN_TIMEOUT_S
from pkg.buildkit.testing import Daemon
from tests.faults.scenes import scene
from tests.harness import apps
from tests.harness.load import Load
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a private engine started"),
]

# Ends at once if an attempt before it began.
INTERRUPTED = "RUN --mount=type=cache,target=/c if [ -e /c/begun ]; then exit 0; fi; touch /c/begun; sleep 250"
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack with an engine of its own."""
    with Stack("") as one:
        yield one


class HungBuildKit:
    """Takes the place of an engine's socket: its BuildKit takes builds and begins none, everything else passes.

    A scheduler that really loops can't be made on demand. The engine's next start makes its socket again, so a restart
    heals this as it heals a real hang.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._real = socket.with_name("real.sock")
        self._fake = socket.with_name("fake.sock")
        self._writers: list[asyncio.StreamWriter] = []
        self.serving = threading.Event()
        self.solving = threading.Event()

    def run(self) -> None:
        """Until `end`, in this thread."""
        asyncio.run(self._serve())

    def end(self) -> None:
        """Break off every connection; from another thread."""
        self._loop.call_soon_threadsafe(self._ended.set)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        daemon = Daemon()
        daemon.status_ends = False

        async def never(_: object) -> None:
            self.solving.set()
            await self._ended.wait()

        daemon.answer = never
        server = grpc.aio.server()
        control_pb2_grpc.add_ControlServicer_to_server(daemon, server)
        server.add_insecure_port(f"unix:{self._fake}")
        await server.start()
        self._socket.rename(self._real)
        listening = await asyncio.start_unix_server(self._pass_on, self._socket)
        self.serving.set()
        await self._ended.wait()
        listening.close()
        for writer in self._writers:
            writer.close()
        await server.stop(0)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            is_build = head.startswith(b"POST /grpc")
            there, back = await asyncio.open_unix_connection(self._fake if is_build else self._real)
            self._writers.append(back)
            (writer if is_build else back).write(UPGRADED if is_build else head)
            await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    target.close()


@contextlib.contextmanager
def served(hung: HungBuildKit) -> Iterator[None]:
    """In a thread of its own."""
    thread = threading.Thread(target=hung.run, name="hung-buildkit")
    thread.start()
    assert hung.serving.wait(10)
    try:
        yield
    finally:
        hung.end()
        thread.join()


def is_running(text: bytes) -> bool:
    """Whether a process of this machine has the text in its command line, whose arguments a space parts."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if text in path.read_bytes().replace(b"\0", b" "):
                return True
    return False


def test_a_hung_builder_is_healed(stack: Stack, project: str, tmp_path: Path) -> None:
    """The engine is restarted; no request fails; the build that did not begin, and one under way, end well."""
    here = scene(stack, project, tmp_path / "app")
    assert stack.sealift("projects", "create", "other").code == 0
    other = stack.start_cli(
        "deploy", str(apps.app(tmp_path / "other", build=INTERRUPTED)), "--project", "other", "--json"
    )
    # a step that begins later would show that the engine is only slow
    eventually(lambda: is_running(b"sleep 250"), within_s=60, what="the step of the other build runs")
    engine_before = stack.process("engine")
    hung = HungBuildKit(Path(stack.engine_socket))
    with Load(here.url, rate_per_s=20, max_s=200) as asking, served(hung):
        apps.edit(here.directory, "two")
        cli = here.start_deploy()
        assert hung.solving.wait(30), "the hung builder took a build"
        eventually(
            lambda: stack.process("engine") != engine_before,
            within_s=BEGIN_TIMEOUT_S + 40,
            what="the engine was restarted",
        )
        done, other_done = finish(cli, timeout_s=90), finish(other, timeout_s=90)
        here.answers("two")
    assert (done.code, other_done.code) == (0, 0), (done.out, other_done.out)
    assert asking.failures == []
    assert "BuildKit hangs" in done.out
    assert stack.rows("SELECT attempt FROM builds WHERE attempt > 4 OR status != 'succeeded'") == []
    log = stack.state.with_suffix(".log").read_text()
    assert log.count("BuildKit of the private engine hangs") == 1
    here.assert_clean(here.newest())
