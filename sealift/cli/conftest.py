"""Fixtures for CLI tests: the real program as a process, against the fake server."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from sealift.client.testing import KEY, FakeServer

ROOT = Path(__file__).parents[2]
BOUND_S = 30


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


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

    async def start_at(self, terminal: int, *args: str) -> asyncio.subprocess.Process:
        """Start it on a terminal that sends Ctrl-C; `setsid` makes it the controlling terminal."""
        return await asyncio.create_subprocess_exec(
            "setsid", "--ctty", sys.executable, *self.command, *args, cwd=self.cwd, env=self.env, stdin=terminal,
            stdout=terminal, stderr=terminal,
        )  # fmt: skip

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
