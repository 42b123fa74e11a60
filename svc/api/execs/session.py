"""One command that is under way: what the client's call and krane's call share."""

import asyncio
import time
from collections.abc import Callable

from pkg.errors import FailedPrecondition, SealiftError, Unavailable
from sealift.ctrl.v1 import common_pb2
from sealift.ctrl.v1 import exec_pb2 as pb
from svc.api.execs.channel import Channel, ClosedError

PIECES = 8  # of at most 64 KiB, that wait in each direction
INPUTS = 1024  # of the client, most of them keys; the bytes among them are bounded by the window
PIECE_BYTES = 64 << 10
STDIN_WINDOW_BYTES = 256 << 10
KILLED = 128 + 9


class ExecSession:
    """Ends once, by whichever side is first: `exit`, a refusal of krane, a bound, or the end of either call.

    Attributes:
        is_connected: krane has taken it.
        problem: why the client's call fails; None: it does not, or goes on.
    """

    def __init__(self, task: pb.ExecTask, environment_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.task = task
        self.environment_id = environment_id
        self.is_connected = asyncio.Event()
        self.problem: SealiftError | None = None
        self.began_at = self.active_at = clock()
        self._clock = clock
        self._inputs: Channel[pb.ExecInput] = Channel(INPUTS)
        self._outputs: Channel[pb.ExecOutput] = Channel(PIECES)
        self._stdin_sent = 0
        self._stdin_taken = 0
        self._is_ended = False

    @property
    def region(self) -> str:
        """Where it runs."""
        return self.task.start.region

    @property
    def is_ended(self) -> bool:
        """Whether it counts no more."""
        return self._is_ended

    async def input(self, message: pb.ExecInput) -> None:
        """From the client. Raises FailedPrecondition `exec.stdin_window`, ClosedError."""
        self._stdin_sent += len(message.stdin)
        if len(message.stdin) > PIECE_BYTES or self._stdin_sent - self._stdin_taken > STDIN_WINDOW_BYTES:
            raise FailedPrecondition(
                "exec.stdin_window",
                f"The client sent more than {STDIN_WINDOW_BYTES >> 10} KiB of stdin that the command has not taken, or"
                f" more than {PIECE_BYTES >> 10} KiB at once: use the sealift command of this server's version.",
            )
        self.active_at = self._clock()
        await self._inputs.put(message)

    async def next_input(self) -> pb.ExecInput:
        """For krane. Raises ClosedError once it has ended."""
        return await self._inputs.get()

    async def output(self, message: pb.ExecOutput) -> None:
        """From krane; waits while the client does not read. Raises ClosedError."""
        if message.HasField("exit"):
            await self.exit(message.exit)
            return
        if message.HasField("stdin_taken"):
            self._stdin_taken = max(self._stdin_taken, min(message.stdin_taken, self._stdin_sent))
        self.active_at = self._clock()
        await self._outputs.put(message)

    async def next_output(self) -> pb.ExecOutput:
        """For the client. Raises ClosedError once it has ended."""
        return await self._outputs.get()

    async def exit(self, message: pb.ExecExit) -> None:
        """The command has ended; the client reads what it printed before."""
        await self._end(pb.ExecOutput(exit=message))

    async def cut(self, code: str, message: str) -> None:
        """A bound ends it."""
        problem = common_pb2.Problem(code=code, message=message)
        await self.exit(pb.ExecExit(exit_code=KILLED, problem=problem))

    async def fail(self, problem: SealiftError) -> None:
        """The client's call ends with this problem."""
        if not self._is_ended:
            self.problem = problem
        await self._end()

    async def lost(self) -> None:
        """Krane's call has ended too early."""
        await self.fail(
            Unavailable(
                "exec.interrupted",
                f"The connection to krane of region {self.region!r} broke. The command is ended: start it again.",
            )
        )

    async def close(self) -> None:
        """The client has left."""
        await self._end()

    async def _end(self, last: pb.ExecOutput | None = None) -> None:
        self._is_ended = True
        await self._inputs.close()
        await self._outputs.close(last)


__all__ = ["ClosedError", "ExecSession"]
