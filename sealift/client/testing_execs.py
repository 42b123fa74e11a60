# ruff: noqa: N802, D102 - the methods are those of the protocol, described there
"""ExecService of the fake server: commands run as processes of this machine, on a terminal if they ask for one."""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator
from typing import Any

from sealift.client.testing_servicer import FakeServicer, refuse
from sealift.ctrl.v1 import exec_pb2, exec_pb2_grpc

_SIGNALS = {
    exec_pb2.EXEC_SIGNAL_INT: signal.SIGINT,
    exec_pb2.EXEC_SIGNAL_TERM: signal.SIGTERM,
    exec_pb2.EXEC_SIGNAL_QUIT: signal.SIGQUIT,
    exec_pb2.EXEC_SIGNAL_USR1: signal.SIGUSR1,
}


class FakeExecs(FakeServicer, exec_pb2_grpc.ExecServiceServicer):
    """The service.

    Attributes:
        exec_starts: what was asked for.
        exec_refusal: status, code and message of the next calls; None: they run.
        exec_notice: of the commands that start.
        exec_end: in place of how the command ended.
        exec_pids: of the commands that run or ran.
    """

    def __init__(self) -> None:
        super().__init__()
        self.exec_starts: list[exec_pb2.ExecStart] = []
        self.exec_refusal: tuple[str, str, str] | None = None
        self.exec_notice = ""
        self.exec_end: exec_pb2.ExecExit | None = None
        self.exec_pids: list[int] = []

    async def Exec(self, requests: Any, context: Any) -> AsyncIterator[exec_pb2.ExecResponse]:
        await self._enter("Exec", context)
        start = (await anext(requests)).start
        self.exec_starts.append(start)
        if self.exec_refusal is not None:
            await refuse(context, *self.exec_refusal)
        yield exec_pb2.ExecResponse()
        started = exec_pb2.ExecStarted(instance_id="dep-1-0", region="local", notice=self.exec_notice)
        yield exec_pb2.ExecResponse(output=exec_pb2.ExecOutput(started=started))
        command = _Command(start)
        try:
            await command.begin()
            self.exec_pids.append(command.process.pid)
            feeding = asyncio.create_task(command.take(requests))
            try:
                async for output in command.outputs():
                    yield exec_pb2.ExecResponse(output=output)
            finally:
                feeding.cancel()
            code = await command.process.wait()
            end = self.exec_end or exec_pb2.ExecExit(exit_code=code if code >= 0 else 128 - code)
            yield exec_pb2.ExecResponse(output=exec_pb2.ExecOutput(exit=end))
        finally:
            command.close()


class _Command:
    """One process."""

    process: asyncio.subprocess.Process

    def __init__(self, start: exec_pb2.ExecStart) -> None:
        self._start = start
        self._ours = -1
        self._queue: asyncio.Queue[exec_pb2.ExecOutput | None] = asyncio.Queue(4)
        self._taken = 0

    async def begin(self) -> None:
        pipe, words = asyncio.subprocess.PIPE, list(self._start.command)
        if not self._start.tty:
            self.process = await asyncio.create_subprocess_exec(
                *words, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
            )
            return
        self._ours, theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        self._resize(self._start.size)
        self.process = await asyncio.create_subprocess_exec(
            "setsid", "--ctty", *words, stdin=theirs, stdout=theirs, stderr=theirs,
            env=os.environ | {"TERM": self._start.terminal_type},
        )  # fmt: skip
        os.close(theirs)

    async def take(self, requests: Any) -> None:
        stdin = self.process.stdin
        async for request in requests:
            kind = request.input.WhichOneof("input")
            if kind == "stdin":
                data = request.input.stdin
                if stdin is None:
                    os.write(self._ours, data)
                else:
                    with contextlib.suppress(OSError):
                        stdin.write(data)
                        await stdin.drain()
                self._taken += len(data)
                await self._queue.put(exec_pb2.ExecOutput(stdin_taken=self._taken))
            elif kind == "stdin_end" and stdin is not None:
                stdin.close()
            elif kind == "resize":
                self._resize(request.input.resize)
            elif kind == "signal":
                os.killpg(self.process.pid, _SIGNALS[request.input.signal])

    async def outputs(self) -> AsyncIterator[exec_pb2.ExecOutput]:
        copies = [self._copy_terminal()] if self._ours >= 0 else [self._copy("stdout"), self._copy("stderr")]
        tasks = [asyncio.create_task(one) for one in copies]
        ending = asyncio.create_task(self._end_after(tasks))
        try:
            while (output := await self._queue.get()) is not None:
                yield output
        finally:
            for task in (*tasks, ending):
                task.cancel()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError, AttributeError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    async def _end_after(self, tasks: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*tasks)
        await self._queue.put(None)

    async def _copy(self, name: str) -> None:
        stream = getattr(self.process, name)
        while data := await stream.read(65_536):
            output = exec_pb2.ExecOutput(stdout=data) if name == "stdout" else exec_pb2.ExecOutput(stderr=data)
            await self._queue.put(output)

    async def _copy_terminal(self) -> None:
        loop, is_readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._ours, is_readable.set)
        try:
            while True:
                await is_readable.wait()
                is_readable.clear()
                try:
                    data = os.read(self._ours, 65_536)
                except BlockingIOError:
                    continue
                except OSError:  # no process has it open
                    return
                await self._queue.put(exec_pb2.ExecOutput(stdout=data))
        finally:
            loop.remove_reader(self._ours)

    def _resize(self, size: exec_pb2.TerminalSize) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.columns, 0, 0))
