"""Commands in instances that are servers of this process: processes of this machine."""

import asyncio
import contextlib
import os
import signal

from svc.krane.runtime.execs import PIECE_BYTES, ExecEnd, ExecOutput, ExecSpec


class LocalExec:
    """See `ExecProcess`. There is no terminal."""

    notice = ""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._outputs: asyncio.Queue[ExecOutput] = asyncio.Queue(1)
        self._tasks = [asyncio.create_task(self._copy(is_stderr=is_stderr)) for is_stderr in (False, True)]

    async def read(self) -> ExecOutput | ExecEnd:
        """See `ExecProcess`."""
        while True:
            if not self._outputs.empty():
                return self._outputs.get_nowait()
            if all(task.done() for task in self._tasks):
                code = await self._process.wait()
                return ExecEnd(code if code >= 0 else 128 - code)
            await asyncio.sleep(0.005)

    async def write(self, data: bytes) -> None:
        """See `ExecProcess`."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(data)
                await self._process.stdin.drain()

    async def end_stdin(self) -> None:
        """See `ExecProcess`."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def resize(self, columns: int, rows: int) -> None:
        """See `ExecProcess`."""

    async def signal(self, number: int) -> None:
        """See `ExecProcess`."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def close(self) -> None:
        """See `ExecProcess`."""
        await self.signal(signal.SIGKILL)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._process.wait()

    async def _copy(self, *, is_stderr: bool) -> None:
        stream = self._process.stderr if is_stderr else self._process.stdout
        assert stream is not None
        while data := await stream.read(PIECE_BYTES):
            await self._outputs.put(ExecOutput(is_stderr, data))


async def start(spec: ExecSpec) -> LocalExec:
    """Starts it on this machine, in a session of its own."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *spec.command,
        stdin=pipe if spec.stdin else asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        start_new_session=True,
    )
    return LocalExec(process)
