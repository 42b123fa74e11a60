"""Commands in containers of the engine."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence
from typing import Any

from pkg.docker.execs import STDERR, EngineExecs, ExecConnection, NoContainerError
from pkg.errors import FailedPrecondition, Unavailable
from pkg.observability.logging import fields
from svc.krane.runtime.docker import exec_processes
from svc.krane.runtime.exec_scripts import end_command, signal_command
from svc.krane.runtime.execs import END_WITHIN_S, MARK, ExecEnd, ExecOutput, ExecSpec, not_started

log = logging.getLogger(__name__)

# A command may have ended while what it started still holds its output.
LOOK_EVERY_S = 1.0
CODE_WITHIN_S = 5.0
POLL_S = 0.02
CLOSE_WITHIN_S = 8.0
SCRIPT_WITHIN_S = 6.0
RESIZES = 25
NOT_STARTED_BYTES = 8 << 10
_NOT_STARTED = b"OCI runtime exec failed"


class ContainerExecs:
    """Runs, signals and ends commands in containers."""

    def __init__(self, socket_path: str) -> None:
        self._engine = EngineExecs(socket_path)

    async def close(self) -> None:
        """Ends its connections."""
        await self._engine.close()

    async def start(self, name: str, container_id: str, pid: int, spec: ExecSpec) -> "ContainerExec":
        """See `Runtime.exec`. `pid`: of the container's first process."""
        environment = {MARK: spec.exec_id} | ({"TERM": spec.term} if spec.tty and spec.term else {})
        try:
            engine_id = await self._engine.create(
                container_id, spec.command, tty=spec.tty, stdin=spec.stdin, environment=environment
            )
            connection = await self._engine.start(engine_id, tty=spec.tty)
        except NoContainerError as error:
            raise FailedPrecondition("exec.not_running", f"the instance {name} does not run ({error})") from error
        is_visible = await asyncio.to_thread(exec_processes.is_visible, pid, container_id)
        process = ContainerExec(self._engine, connection, container_id, engine_id, spec, is_visible=is_visible)
        if spec.tty and spec.columns and spec.rows:
            await process.resize(spec.columns, spec.rows)
        return process

    async def end_left(self, containers: Sequence[tuple[str, int, bool]]) -> None:
        """Ends commands that an earlier krane has left in these containers, as `Containers.with_execs` has them."""
        visible: list[str] = []
        others: list[str] = []
        for container_id, pid, has_execs in containers:
            if not has_execs:
                continue
            is_visible = await asyncio.to_thread(exec_processes.is_visible, pid, container_id)
            (visible if is_visible else others).append(container_id)
        if visible and (left := await asyncio.to_thread(exec_processes.marked, visible)):
            log.warning("ending commands that an earlier krane has left", extra=fields(count=len(left)))
            await asyncio.to_thread(exec_processes.send, left, signal.SIGKILL)
        for container_id in others:
            await run_script(self._engine, container_id, end_command(""))


class ContainerExec:
    """See `ExecProcess`."""

    notice = ""

    def __init__(
        self,
        engine: EngineExecs,
        connection: ExecConnection,
        container_id: str,
        engine_id: str,
        spec: ExecSpec,
        *,
        is_visible: bool,
    ) -> None:
        self._engine = engine
        self._connection = connection
        self._container_id = container_id
        self._engine_id = engine_id
        self._spec = spec
        self._is_visible = is_visible
        self._reading: asyncio.Task[tuple[int, bytes] | None] | None = None
        self._end: ExecEnd | None = None
        self._is_first = True
        self._pid = 0  # of the command's first process, on the engine's machine
        self._closing: asyncio.Task[None] | None = None

    async def read(self) -> ExecOutput | ExecEnd:
        """See `ExecProcess.read`."""
        if self._end is not None:
            return self._end
        piece = await self._next()
        if piece is None:
            self._end = self._end or await self._how_it_ended()
            return self._end
        stream, data = piece
        if self._is_first and data.startswith(_NOT_STARTED) and (end := await self._why_not_started(data)):
            self._end = end
            return end
        self._is_first = False
        return ExecOutput(stream == STDERR, data)

    async def write(self, data: bytes) -> None:
        """See `ExecProcess.write`."""
        await self._connection.write(data)

    async def end_stdin(self) -> None:
        """See `ExecProcess.end_stdin`."""
        if not self._spec.tty:
            await self._connection.end_input()

    async def resize(self, columns: int, rows: int) -> None:
        """See `ExecProcess.resize`. The engine refuses it until the command has begun."""
        for _ in range(RESIZES):
            if await self._engine.resize(self._engine_id, columns, rows):
                return
            facts = await self._engine.inspect(self._engine_id)
            if facts is None or not facts["Running"]:
                return
            await asyncio.sleep(POLL_S)

    async def signal(self, number: int) -> None:
        """See `ExecProcess.signal`."""
        if self._is_visible:
            exec_processes.send(await self._begun(), number)
            return
        facts = await self._engine.inspect(self._engine_id)
        if facts is None or not facts["Running"]:
            return
        name = signal.Signals(number).name.removeprefix("SIG")
        await run_script(self._engine, self._container_id, signal_command(self._spec.exec_id, name))

    async def close(self) -> None:
        """See `ExecProcess.close`."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="end a command")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                # Without a code the engine has forgotten the command, as one that was restarted does.
                if self._end is None or self._end.exit_code is None:
                    await self._end_processes()
        except (Unavailable, TimeoutError, OSError) as error:
            log.warning("a command could not be ended", extra=fields(exec_id=self._spec.exec_id, error=str(error)))
        if self._reading is not None:
            self._reading.cancel()
        await self._connection.close()

    async def _end_processes(self) -> None:
        if not self._is_visible:
            await run_script(self._engine, self._container_id, end_command(self._spec.exec_id))
            return
        exec_processes.send(await self._begun(), signal.SIGHUP)
        loop = asyncio.get_running_loop()
        until = loop.time() + END_WITHIN_S
        while loop.time() < until:
            if not await asyncio.to_thread(self._processes):
                return
            await asyncio.sleep(POLL_S)
        if not await asyncio.to_thread(exec_processes.kill_all, self._container_id, self._spec.exec_id, self._pid):
            log.warning("processes of a command do not end", extra=fields(exec_id=self._spec.exec_id))

    async def _begun(self) -> list[int]:
        """The command's processes; of one that was just started, once they are there. None: it has ended."""
        while True:
            facts = await self._engine.inspect(self._engine_id)
            self._pid = self._pid if facts is None else facts["Pid"]
            pids = await asyncio.to_thread(self._processes)
            if pids or facts is None or not facts["Running"]:
                return pids
            await asyncio.sleep(POLL_S)

    def _processes(self) -> list[int]:
        return exec_processes.of_exec(self._container_id, self._spec.exec_id, self._pid)

    async def _next(self) -> tuple[int, bytes] | None:
        """The next piece; None also when the command has ended and nothing more came of those that hold its output."""
        has_ended = False
        while True:
            self._reading = self._reading or asyncio.create_task(self._connection.read())
            done, _ = await asyncio.wait({self._reading}, timeout=LOOK_EVERY_S)
            if done:
                piece, self._reading = self._reading.result(), None
                return piece
            if has_ended:
                return None
            facts = await self._engine.inspect(self._engine_id)
            has_ended = facts is None or not facts["Running"]

    async def _how_it_ended(self) -> ExecEnd:
        facts = await self._ended_facts()
        return ExecEnd(None if facts is None else facts["ExitCode"])

    async def _ended_facts(self) -> dict[str, Any] | None:
        """What the engine says once it has noticed the end; None: the container is gone, or does not end."""
        until = asyncio.get_running_loop().time() + CODE_WITHIN_S
        while True:
            facts = await self._engine.inspect(self._engine_id)
            if facts is None or (not facts["Running"] and facts["ExitCode"] is not None):
                return facts
            if asyncio.get_running_loop().time() > until:
                return None
            await asyncio.sleep(POLL_S)

    async def _why_not_started(self, said: bytes) -> ExecEnd | None:
        """The engine says by way of output that it could not execute the command; None: the command says so itself."""
        facts = await self._ended_facts()
        if facts is None or facts["Pid"] or facts["ExitCode"] not in (126, 127):
            return None
        while len(said) < NOT_STARTED_BYTES and (more := await self._next()) is not None:
            said += more[1]
        text = said.decode(errors="replace").strip()
        return not_started(self._spec.command[0], text) or ExecEnd(
            facts["ExitCode"], "exec.command_not_executable", text
        )


async def run_script(engine: EngineExecs, container_id: str, command: Sequence[str]) -> None:
    """Runs a script in a container to its end. Raises Unavailable; one without a shell does nothing."""
    with contextlib.suppress(NoContainerError, TimeoutError):
        async with asyncio.timeout(SCRIPT_WITHIN_S):
            engine_id = await engine.create(container_id, command, tty=False, stdin=False, environment={})
            connection = await engine.start(engine_id, tty=False)
            try:
                while await connection.read() is not None:
                    pass
            finally:
                await connection.close()
