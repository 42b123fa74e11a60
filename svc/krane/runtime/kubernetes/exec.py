"""Commands in Pods.

A node goes on with a command whose connection has ended. So a second command stands beside it in the container, the
guard: its stdin ends with krane's connection, however krane ends, and then it ends the first one. Both need a shell.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence

from pkg.errors import FailedPrecondition, Unavailable
from pkg.observability.logging import fields
from svc.krane.runtime.exec_scripts import guard_command, marked_command, piece
from svc.krane.runtime.execs import ExecEnd, ExecOutput, ExecSpec, not_started
from svc.krane.runtime.kubernetes import objects
from svc.krane.runtime.kubernetes.exec_socket import (
    STDERR,
    STDOUT,
    UNAVAILABLE,
    ExecSocket,
    ExecSockets,
    RefusedError,
    SocketEnd,
)
from svc.krane.runtime.kubernetes.wire import Pod

log = logging.getLogger(__name__)

GUARD_WITHIN_S = 15.0
BEAT_S = 15.0  # less than the guard waits
END_WITHIN_S = 6.0
NO_SHELL = (
    "the image has no shell: the command is not ended when you leave or when a bound is reached, signals do not reach"
    " it, and it never reads the end of stdin"
)


class PodExecs:
    """Runs commands in Pods."""

    def __init__(self, sockets: ExecSockets) -> None:
        self._sockets = sockets

    async def start(self, pod: Pod, spec: ExecSpec) -> "PodExec":
        """See `Runtime.exec`."""
        guard = await self._guard(pod, spec)
        try:
            command = spec.command if guard is None else marked_command(spec)
            # A terminal without stdin loses what is printed at the begin (containerd 1.6); nothing is sent to this one.
            socket = await self._open(pod, command, stdin=spec.stdin or spec.tty, tty=spec.tty)
        except BaseException:
            if guard is not None:
                await guard.close()
            raise
        process = PodExec(socket, guard, spec)
        if spec.tty and spec.columns and spec.rows:
            await process.resize(spec.columns, spec.rows)
        return process

    async def _guard(self, pod: Pod, spec: ExecSpec) -> "_Guard | None":
        """None: there is no shell."""
        socket = await self._open(pod, guard_command(spec.exec_id), stdin=True, tty=False)
        try:
            async with asyncio.timeout(GUARD_WITHIN_S):
                first = await socket.read()
        except TimeoutError as error:
            await socket.close()
            raise Unavailable(UNAVAILABLE, f"the node of {pod.metadata.name} begins no command") from error
        except BaseException:
            await socket.close()
            raise
        if not isinstance(first, SocketEnd):
            return _Guard(socket)
        await socket.close()
        if not_started("sh", first.said) is not None:
            return None
        said = first.said or f"it ended with {first.exit_code}"
        raise Unavailable(UNAVAILABLE, f"no command can be begun in {pod.metadata.name}: {said[:500]}")

    async def _open(self, pod: Pod, command: Sequence[str], *, stdin: bool, tty: bool) -> ExecSocket:
        meta = pod.metadata
        try:
            return await self._sockets.open(meta.name, meta.namespace, objects.CONTAINER, command, stdin=stdin, tty=tty)
        except RefusedError as error:
            if error.code == 404:
                raise FailedPrecondition("exec.not_running", f"the instance {meta.name} does not exist") from error
            hint = "; does krane's role have pods/exec?" if error.code in (401, 403) else ""
            raise Unavailable(
                UNAVAILABLE, f"the API server refuses a command in {meta.name} with HTTP {error.code}{hint}"
            ) from error


class _Guard:
    """What ends the command when this connection ends."""

    def __init__(self, socket: ExecSocket) -> None:
        self._socket = socket
        self._beating = asyncio.create_task(self._beat(), name="exec-guard")

    async def say(self, word: str) -> None:
        await self._socket.write(f"{word}\n".encode())

    async def close(self, *, is_done: bool = False) -> None:
        """Has the command ended, and waits for that; nothing if it has ended by itself."""
        self._beating.cancel()
        try:
            async with asyncio.timeout(END_WITHIN_S):
                await self.say("done" if is_done else "end")
                while not isinstance(await self._socket.read(), SocketEnd):
                    pass
        finally:
            await self._socket.close()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            await self.say("beat")


class PodExec:
    """See `ExecProcess`."""

    def __init__(self, socket: ExecSocket, guard: _Guard | None, spec: ExecSpec) -> None:
        self._socket = socket
        self._guard = guard
        self._spec = spec
        self._end: ExecEnd | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def notice(self) -> str:
        """See `ExecProcess.notice`."""
        return "" if self._guard else NO_SHELL

    async def read(self) -> ExecOutput | ExecEnd:
        """See `ExecProcess.read`."""
        while self._end is None:
            found = await self._socket.read()
            if isinstance(found, SocketEnd):
                self._end = self._ended(found)
            elif found[0] in (STDOUT, STDERR):
                return ExecOutput(found[0] == STDERR, found[1])
        return self._end

    async def write(self, data: bytes) -> None:
        """See `ExecProcess.write`."""
        await self._socket.write(piece(data) if self._is_fed else data)

    async def end_stdin(self) -> None:
        """See `ExecProcess.end_stdin`."""
        if self._is_fed:
            await self._socket.write(piece(b""))

    async def resize(self, columns: int, rows: int) -> None:
        """See `ExecProcess.resize`."""
        if self._spec.tty:
            await self._socket.resize(columns, rows)

    async def signal(self, number: int) -> None:
        """See `ExecProcess.signal`."""
        if self._guard is not None and self._end is None:
            await self._guard.say(f"signal {signal.Signals(number).name.removeprefix('SIG')}")

    async def close(self) -> None:
        """See `ExecProcess.close`."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="end a command")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._guard is not None:
            try:
                await self._guard.close(is_done=self._end is not None and self._end.exit_code is not None)
            except TimeoutError:
                log.warning("a command was not ended in time", extra=fields(exec_id=self._spec.exec_id))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_WITHIN_S):
                await self._socket.close()

    @property
    def _is_fed(self) -> bool:
        return self._spec.stdin and not self._spec.tty and self._guard is not None

    def _ended(self, found: SocketEnd) -> ExecEnd:
        if found.exit_code is None and found.said:
            return not_started(self._spec.command[0], found.said) or ExecEnd(None)
        return ExecEnd(found.exit_code)
