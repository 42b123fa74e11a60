"""One command: between the api's call and the runtime."""

import asyncio
import contextlib
import logging
from collections import deque
from typing import Any

import grpc.aio

from pkg.desired.processes import workload_id
from pkg.errors import FailedPrecondition, ResourceExhausted, SealiftError
from pkg.observability.logging import fields
from sealift.ctrl.v1 import common_pb2
from sealift.ctrl.v1 import exec_pb2 as pb
from svc.krane.controller.api import ClusterApi
from svc.krane.runtime.execs import ExecEnd, ExecOutput, ExecProcess, ExecSpec
from svc.krane.runtime.port import InstanceStatus, Observation, Runtime

log = logging.getLogger(__name__)

SILENCE_S = 35.0  # the api sends a keepalive every 10 s
STDIN_BYTES = 256 << 10  # that wait for the command; the api lets clients send no more
KILLED = 128 + 9
ENDS_WITHIN_S = 2.0  # until the runtime has noticed that the instance ended with the command
POLL_S = 0.1
_SIGNALS = {
    pb.EXEC_SIGNAL_HUP: 1,
    pb.EXEC_SIGNAL_INT: 2,
    pb.EXEC_SIGNAL_QUIT: 3,
    pb.EXEC_SIGNAL_KILL: 9,
    pb.EXEC_SIGNAL_USR1: 10,
    pb.EXEC_SIGNAL_USR2: 12,
    pb.EXEC_SIGNAL_TERM: 15,
}


class ExecRelay:
    """Runs the command of one task. However it ends, nothing of the command is left running."""

    def __init__(self, region: str, runtime: Runtime, api: ClusterApi, task: pb.ExecTask) -> None:
        self._region = region
        self._runtime = runtime
        self._task = task
        self._call: Any = api.connect_exec()
        self._writing = asyncio.Lock()  # a call takes one message at a time
        self._stdin: deque[bytes] = deque()
        self._stdin_size = 0
        self._is_stdin_ended = False
        self._has_stdin = asyncio.Event()

    async def run(self) -> None:
        """Ends with the command, or with the api's call. Raises nothing but its cancellation."""
        extra = fields(exec_id=self._task.exec_id, instance_id=self._task.instance_id)
        try:
            await self._call.write(pb.ConnectExecRequest(region=self._region, exec_id=self._task.exec_id))
            await self._run()
        except grpc.aio.AioRpcError as error:
            log.info("a command's call has ended", extra=extra | fields(grpc_status=error.code().name))
        except (TimeoutError, asyncio.InvalidStateError) as error:
            log.warning("a command's call broke", extra=extra | fields(error=type(error).__name__))
        finally:
            self._call.cancel()

    async def _run(self) -> None:
        start = self._task.start
        try:
            seen = await self._instance()
            process = await self._runtime.exec(seen.name, seen.uid, _spec(self._task))
        except SealiftError as error:
            await self._refuse(error)
            return
        try:
            started = pb.ExecStarted(
                deployment_id=start.deployment_id,
                instance_id=seen.name,
                region=self._region,
                notice=process.notice,
            )
            await self._send(pb.ExecOutput(started=started))
            await self._relay(process, seen)
        except SealiftError as error:
            await self._refuse(error)
        finally:
            await process.close()

    async def _relay(self, process: ExecProcess, seen: Observation) -> None:
        """Both directions, until one of them ends."""
        output = asyncio.create_task(self._output(process, seen), name="exec-output")
        reading = asyncio.create_task(self._input(process), name="exec-input")
        others = [reading, asyncio.create_task(self._feed(process), name="exec-stdin")]
        try:
            await asyncio.wait([output, *others], return_when=asyncio.FIRST_COMPLETED)
            for task in (output, *others):
                if task.done():
                    task.result()
            if output.done():
                await reading  # a call that is ended before the api has read all of it loses the rest
        finally:
            for task in (output, *others):
                task.cancel()
            await asyncio.gather(output, *others, return_exceptions=True)

    async def _output(self, process: ExecProcess, seen: Observation) -> None:
        while isinstance(piece := await process.read(), ExecOutput):
            output = pb.ExecOutput(stderr=piece.data) if piece.is_stderr else pb.ExecOutput(stdout=piece.data)
            await self._send(output)
        await self._send(pb.ExecOutput(exit=await self._exit(piece, seen)))
        await self._call.done_writing()

    async def _exit(self, end: ExecEnd, seen: Observation) -> pb.ExecExit:
        code = KILLED if end.exit_code is None else end.exit_code & 0xFF
        if end.code:
            return pb.ExecExit(exit_code=code, problem=common_pb2.Problem(code=end.code, message=end.reason))
        if code == KILLED and (why := await self._has_instance_ended(seen, until_known=end.exit_code is None)):
            return pb.ExecExit(exit_code=code, problem=common_pb2.Problem(code="exec.instance_ended", message=why))
        return pb.ExecExit(exit_code=code)

    async def _has_instance_ended(self, seen: Observation, *, until_known: bool) -> str:
        """Why the command was killed with its instance, or ""."""
        loop = asyncio.get_running_loop()
        until = loop.time() + ENDS_WITHIN_S
        while True:
            with contextlib.suppress(SealiftError):
                now = await self._runtime.observe(seen.deployment_id, seen.replica)
                if now is None or now.uid != seen.uid or now.status is not InstanceStatus.RUNNING:
                    return f"the instance {seen.name} has ended, and the command with it"
                if now.started_at_ms != seen.started_at_ms:
                    return f"the app of the instance {seen.name} has ended, and the command with it; it runs again"
            if loop.time() > until:
                return f"the connection to the command in {seen.name} broke" if until_known else ""
            await asyncio.sleep(POLL_S)

    async def _input(self, process: ExecProcess) -> None:
        """What the client sends; nothing here waits for the command to read."""
        while True:
            async with asyncio.timeout(SILENCE_S):
                message = await self._call.read()
            if message is grpc.aio.EOF:
                return
            if not message.HasField("input"):
                continue
            kind = message.input.WhichOneof("input")
            if kind == "stdin":
                self._keep_stdin(message.input.stdin)
            elif kind == "stdin_end":
                self._is_stdin_ended = True
                self._has_stdin.set()
            elif kind == "resize":
                await process.resize(message.input.resize.columns, message.input.resize.rows)
            elif kind == "signal" and message.input.signal in _SIGNALS:
                await process.signal(_SIGNALS[message.input.signal])

    def _keep_stdin(self, data: bytes) -> None:
        self._stdin_size += len(data)
        if self._stdin_size > STDIN_BYTES:
            raise ResourceExhausted("exec.stdin_window", f"more than {STDIN_BYTES >> 10} KiB of stdin wait")
        self._stdin.append(data)
        self._has_stdin.set()

    async def _feed(self, process: ExecProcess) -> None:
        """Stdin, as the command takes it."""
        taken = 0
        while True:
            await self._has_stdin.wait()
            while self._stdin:
                data = self._stdin.popleft()
                await process.write(data)
                self._stdin_size -= len(data)
                taken += len(data)
                await self._send(pb.ExecOutput(stdin_taken=taken))
            if self._is_stdin_ended:
                await process.end_stdin()
                await asyncio.Event().wait()  # the command goes on
            self._has_stdin.clear()

    async def _instance(self) -> Observation:
        start = self._task.start
        workload = workload_id(start.deployment_id, start.process)
        seen = await self._runtime.observe(workload, start.replica)
        if seen is None or seen.status is not InstanceStatus.RUNNING:
            state = "does not exist" if seen is None else f"is {seen.status}"
            name = self._task.instance_id
            raise FailedPrecondition("exec.not_running", f"The instance {name} {state} now: see `sealift ps`.")
        return seen

    async def _send(self, output: pb.ExecOutput) -> None:
        async with self._writing:
            await self._call.write(pb.ConnectExecRequest(output=output))

    async def _refuse(self, error: SealiftError) -> None:
        refusal = pb.ExecRefusal(status=error.grpc_status, code=error.code, message=error.message)
        async with self._writing:
            await self._call.write(pb.ConnectExecRequest(refusal=refusal))
        await self._call.done_writing()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_S):
                while await self._call.read() is not grpc.aio.EOF:
                    pass


def _spec(task: pb.ExecTask) -> ExecSpec:
    start = task.start
    return ExecSpec(
        task.exec_id,
        tuple(start.command),
        stdin=start.stdin,
        tty=start.tty,
        term=start.terminal_type,
        columns=start.size.columns,
        rows=start.size.rows,
    )
