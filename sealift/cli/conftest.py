"""Fixtures for CLI tests: the real program as a process, against the fake server."""

import asyncio
import json
import os
import pty
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from sealift.client.testing import KEY, FakeServer

ROOT = Path(__file__).parents[2]
BOUND_S = 60  # for what takes a moment, on a machine that is busy


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Terminal:
    """What a test does at the terminal of a program: types, and reads until a text or the end is shown.

    Attributes:
        process: the program.
        shown: all that has been read so far.
    """

    def __init__(self, ours: int, process: asyncio.subprocess.Process) -> None:
        self.ours = ours
        self.process = process
        self.shown = b""

    @property
    def text(self) -> str:
        return self.shown.decode(errors="replace")

    def type(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    async def until(self, text: bytes) -> None:
        """Reads until `text` is shown."""
        while text not in self.shown:
            assert await self._more(), f"{text!r} is not shown in {self.text!r}"

    async def end(self) -> int:
        """Reads all; the program's exit code."""
        while await self._more():
            pass
        return await asyncio.wait_for(self.process.wait(), BOUND_S)

    async def _more(self) -> bool:
        """Waits for what is shown next; False at the end."""
        loop, is_readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.ours, is_readable.set)
        try:
            await asyncio.wait_for(is_readable.wait(), BOUND_S)
        finally:
            loop.remove_reader(self.ours)
        try:
            part = os.read(self.ours, 1 << 16)
        except OSError:  # no process has the other end open
            return False
        self.shown += part
        return bool(part)


class Program:
    """Starts `sealift` in a directory, without the environment variables of this machine."""

    def __init__(self, server: FakeServer, home: Path) -> None:
        self.command: tuple[str, ...] = ("-m", "sealift.cli.main")
        self.cwd = home / "app"
        self.cwd.mkdir()
        self.temp = home / "tmp"
        self.temp.mkdir()
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(home),
            "TMPDIR": str(self.temp),
            "SEALIFT_URL": server.endpoint.url,
            "SEALIFT_API_KEY": KEY,
        }

    async def start(
        self, *args: str, stdout: IO[bytes] | None = None, stderr: IO[bytes] | None = None
    ) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *self.command,
            *args,
            cwd=self.cwd,
            env=self.env,
            stdin=pipe,
            stdout=stdout or pipe,
            stderr=stderr or pipe,
        )

    @asynccontextmanager
    async def at_terminal(self, *args: str) -> AsyncIterator[Terminal]:
        """Starts it on a terminal that sends Ctrl-C; `setsid` makes it the controlling terminal."""
        ours, theirs = pty.openpty()
        try:
            try:
                process = await asyncio.create_subprocess_exec(
                    "setsid", "--ctty", sys.executable, *self.command, *args, cwd=self.cwd, env=self.env,
                    stdin=theirs, stdout=theirs, stderr=theirs,
                )  # fmt: skip
            finally:
                os.close(theirs)
            try:
                yield Terminal(ours, process)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        finally:
            os.close(ours)

    async def __call__(
        self, *args: str, stdin: str = "", stdout: IO[bytes] | None = None, stderr: IO[bytes] | None = None
    ) -> Done:
        process = await self.start(*args, stdout=stdout, stderr=stderr)
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin.encode()), BOUND_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return Done(process.returncode, (out or b"").decode(), (err or b"").decode())

    def files(self, **files: str) -> None:
        for name, text in files.items():
            path = self.cwd / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


@pytest.fixture
def sealift(server: FakeServer, tmp_path: Path) -> Program:
    program = Program(server, tmp_path)
    program.files(Dockerfile="FROM scratch\n", app_DOT_py="print(1)\n", sealift_DOT_toml='project = "hello"\n')
    return program


Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


@pytest.fixture
def eventually() -> Eventually:
    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND_S):
            while not condition():  # noqa: ASYNC110 - a condition of another process
                await asyncio.sleep(0.02)

    return wait
