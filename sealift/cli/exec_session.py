"""Runs one command in an instance at the user's terminal or between pipes; the work of `sealift exec`."""

import asyncio
import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click

from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.text import clean, prose
from sealift.cli.raw_terminal import RawTerminal, raw, size_of
from sealift.cli.streams import OutputError
from sealift.client.exec_stream import PIECE_BYTES, ExecStream
from sealift.ctrl.v1 import exec_pb2

STDIN, STDOUT, STDERR = range(3)
_FORWARDED = {
    signal.SIGINT: exec_pb2.EXEC_SIGNAL_INT,
    signal.SIGQUIT: exec_pb2.EXEC_SIGNAL_QUIT,
    signal.SIGTERM: exec_pb2.EXEC_SIGNAL_TERM,
    signal.SIGUSR1: exec_pb2.EXEC_SIGNAL_USR1,
    signal.SIGUSR2: exec_pb2.EXEC_SIGNAL_USR2,
}


class ExecSession:
    """One command. Reads and writes block threads of their own, which nobody waits for at the end."""

    def __init__(self, stream: ExecStream, *, stdin: bool, tty: bool) -> None:
        self._stream = stream
        self._has_stdin = stdin
        self._tty = tty
        self._left = asyncio.Event()
        self._has_interrupted = False
        self._reader = ThreadPoolExecutor(1, "stdin")
        self._writer = ThreadPoolExecutor(1, "output")
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self, start: exec_pb2.ExecStart) -> int:
        """The exit code of the command. Raises ClientError, OutputError."""
        if self._tty:
            if size := size_of(STDOUT):
                start.size.columns, start.size.rows = size
            start.terminal_type = os.environ.get("TERM", "")[:64]
        try:
            await self._stream.start(start)
            first = await self._stream.read()
            if first.started.notice:
                click.echo(prose(f"notice: {clean(first.started.notice)}"), err=True)
            end: exec_pb2.ExecExit | None = first.exit
            if not first.HasField("exit"):
                end = await self._until_exit()
        finally:
            self._stream.close()
        if end is None:
            click.echo("interrupted: the command is ended", err=True)
            return ExitCode.INTERRUPTED
        if end.HasField("problem"):
            click.echo(prose(f"error: {clean(end.problem.message)} [{clean(end.problem.code)}]"), err=True)
        return end.exit_code

    async def _until_exit(self) -> exec_pb2.ExecExit | None:
        """None: this side has left."""
        output = asyncio.ensure_future(self._output())
        tasks: list[asyncio.Future[Any]] = [output, asyncio.ensure_future(self._left.wait())]
        with raw(STDIN) if self._tty and self._has_stdin else contextlib.nullcontext() as terminal:
            self._handle_signals(asyncio.get_running_loop(), terminal)
            if self._has_stdin:
                tasks.append(asyncio.ensure_future(self._feed()))
            try:
                await asyncio.wait(tasks[:2], return_when=asyncio.FIRST_COMPLETED)
                return output.result() if output.done() else None
            finally:
                for task in (*tasks, *self._sending):
                    task.cancel()

    async def _output(self) -> exec_pb2.ExecExit:
        while True:
            message = await self._stream.read()
            kind = message.WhichOneof("output")
            if kind == "stdout":
                await self._write(STDOUT, message.stdout)
            elif kind == "stderr":
                await self._write(STDERR, message.stderr)
            elif kind == "exit":
                return message.exit

    async def _write(self, descriptor: int, data: bytes) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writer, _write_all, descriptor, data)

    async def _feed(self) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.run_in_executor(self._reader, _read, STDIN):
            await self._stream.send_stdin(data)
        await self._stream.send(exec_pb2.ExecInput(stdin_end=exec_pb2.StdinEnd()))

    def _handle_signals(self, loop: asyncio.AbstractEventLoop, terminal: RawTerminal | None) -> None:
        """With a raw terminal keys are no signals, and those of others end this; else the command gets the first."""
        for number in (*_FORWARDED, signal.SIGHUP):
            is_forwarded = terminal is None and number in _FORWARDED
            loop.add_signal_handler(number, *((self._forward, number) if is_forwarded else (self._left.set,)))
        if self._tty:
            loop.add_signal_handler(signal.SIGWINCH, self._resize)
        if terminal is not None:
            loop.add_signal_handler(signal.SIGCONT, self._go_on, terminal)

    def _forward(self, number: signal.Signals) -> None:
        if self._has_interrupted and number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            self._left.set()
            return
        self._has_interrupted = self._has_interrupted or number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
        self._send(exec_pb2.ExecInput(signal=_FORWARDED[number]))

    def _go_on(self, terminal: RawTerminal) -> None:
        """After a stop; the shell has had the terminal."""
        terminal.enter()
        self._resize()

    def _resize(self) -> None:
        if size := size_of(STDOUT):
            self._send(exec_pb2.ExecInput(resize=exec_pb2.TerminalSize(columns=size[0], rows=size[1])))

    def _send(self, message: exec_pb2.ExecInput) -> None:
        task = asyncio.ensure_future(self._stream.send(message))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, PIECE_BYTES)
    except OSError:  # the terminal is gone
        return b""


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BrokenPipeError:
            if descriptor == STDOUT:
                raise OutputError("") from None
            return
        except OSError as error:
            if descriptor == STDOUT:
                raise OutputError(error.strerror or str(error)) from None
            return
