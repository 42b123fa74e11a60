"""What `Runtime.exec` of every adapter must do: tests that an adapter's own test module inherits.

class TestMyExecs(ExecContract):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[RuntimeRig]: ...

The rig's image has a shell and the usual tools of busybox.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import pytest

from pkg.errors import FailedPrecondition
from pkg.ids import new_id
from pkg.testing.wait import KUBERNETES_WAIT_S
from svc.krane.runtime.contract import RuntimeRig, eventually, running
from svc.krane.runtime.execs import ExecEnd, ExecOutput, ExecProcess, ExecSpec
from svc.krane.runtime.port import Observation, Runtime

ALL_COMMANDS = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done 2>/dev/null"


def spec(*command: str, stdin: bool = False, tty: bool = False, term: str = "", columns: int = 0) -> ExecSpec:
    """A command with an id of its own; a terminal has 24 rows."""
    return ExecSpec(new_id("exec"), command, stdin, tty, term, columns, 24 if columns else 0)


@contextlib.asynccontextmanager
async def started(runtime: Runtime, seen: Observation, what: ExecSpec) -> AsyncIterator[ExecProcess]:
    """A command that is closed at the end."""
    process = await runtime.exec(seen.name, seen.uid, what)
    try:
        yield process
    finally:
        await process.close()


async def all_of(process: ExecProcess) -> tuple[bytes, bytes, ExecEnd]:
    """What it prints to stdout and stderr, and how it ends."""
    out, err = bytearray(), bytearray()
    async with asyncio.timeout(KUBERNETES_WAIT_S):
        while isinstance(piece := await process.read(), ExecOutput):
            (err if piece.is_stderr else out).extend(piece.data)
        return bytes(out), bytes(err), piece


async def until(process: ExecProcess, text: bytes) -> bytes:
    """Reads until this was printed."""
    shown = b""
    async with asyncio.timeout(KUBERNETES_WAIT_S):
        while text not in shown:
            piece = await process.read()
            assert isinstance(piece, ExecOutput), (piece, shown)
            shown += piece.data
    return shown


async def commands_in(runtime: Runtime, seen: Observation) -> bytes:
    """The command lines of all processes of an instance."""
    async with started(runtime, seen, spec("sh", "-c", ALL_COMMANDS)) as process:
        return (await all_of(process))[0]


async def until_gone(runtime: Runtime, seen: Observation, command: bytes) -> None:
    """Waits until no process of the instance has that in its command line."""

    async def gone() -> bool | None:
        return command not in await commands_in(runtime, seen) or None

    await eventually(gone)


class ExecContract:
    """The contract. Each test gets an empty region."""

    async def test_output_and_exit_code(self, rig: RuntimeRig) -> None:
        """Promise: both outputs come apart, in order, with the exit code of the command at the end."""
        seen = await running(rig.runtime, rig.spec())
        script = "echo one; echo bad >&2; echo two; exit 3"
        async with started(rig.runtime, seen, spec("sh", "-c", script)) as process:
            assert await all_of(process) == (b"one\ntwo\n", b"bad\n", ExecEnd(3))
            assert await process.read() == ExecEnd(3)
            await process.signal(signal.SIGINT)
        async with started(rig.runtime, seen, spec("sh", "-c", "kill -9 $$")) as process:
            assert (await all_of(process))[2] == ExecEnd(137)

    async def test_a_command_that_can_not_be_executed(self, rig: RuntimeRig) -> None:
        """Promise: exit codes are those of shells: 127 for what is not there, 126 for what is no program."""
        seen = await running(rig.runtime, rig.spec())
        for word, code in (("no-such-program", 127), ("/proc/version", 126)):
            async with started(rig.runtime, seen, spec(word)) as process:
                out, err, end = await all_of(process)
                assert (end.exit_code, out) == (code, b"")
                assert word in f"{end.reason}{err.decode()}"

    async def test_stdin_is_intact_and_ends(self, rig: RuntimeRig) -> None:
        """Promise: every byte of a large stdin arrives, and its end is the end of what the command reads."""
        seen = await running(rig.runtime, rig.spec())
        data = os.urandom(3 << 20)
        async with started(rig.runtime, seen, spec("cat", stdin=True)) as process:

            async def feed() -> None:
                for at in range(0, len(data), 65_536):
                    await process.write(data[at : at + 65_536])
                await process.end_stdin()

            feeding = asyncio.create_task(feed())
            out, err, end = await all_of(process)
            await feeding
        assert out == data
        assert (err, end) == (b"", ExecEnd(0))

    async def test_without_stdin_a_command_reads_its_end(self, rig: RuntimeRig) -> None:
        """Promise: a command that is given no stdin does not wait for any."""
        seen = await running(rig.runtime, rig.spec())
        async with started(rig.runtime, seen, spec("cat")) as process:
            assert await all_of(process) == (b"", b"", ExecEnd(0))

    async def test_a_command_that_does_not_read_its_stdin(self, rig: RuntimeRig) -> None:
        """Promise: it ends when it ends, whatever was written; stdin may go on after it."""
        seen = await running(rig.runtime, rig.spec())
        async with started(rig.runtime, seen, spec("sh", "-c", "head -c 3; exit 4", stdin=True)) as process:
            await process.write(b"abcdef")
            assert await all_of(process) == (b"abc", b"", ExecEnd(4))
            await process.write(b"more")
            await process.end_stdin()

    async def test_a_terminal_has_its_size_and_type(self, rig: RuntimeRig) -> None:
        """Promise: the command sees a terminal of the client's size and type, and each change of the size."""
        seen = await running(rig.runtime, rig.spec())
        script = "sleep 1; stty size; echo $TERM; read x; stty size; exit 6"
        what = spec("sh", "-c", script, stdin=True, tty=True, term="xterm-color", columns=97)
        async with started(rig.runtime, seen, what) as process:
            await until(process, b"24 97\r\nxterm-color\r\n")
            await process.resize(101, 33)
            await process.write(b"\r")
            out, _, end = await all_of(process)
            assert b"33 101\r\n" in out
            assert end == ExecEnd(6)

    async def test_keys_of_a_terminal(self, rig: RuntimeRig) -> None:
        """Promise: Ctrl-C at the terminal interrupts the command, Ctrl-D is the end of its stdin."""
        seen = await running(rig.runtime, rig.spec())
        script = "trap 'echo interrupted' INT; cat"
        async with started(rig.runtime, seen, spec("sh", "-c", script, stdin=True, tty=True)) as process:
            await process.write(b"read\r")
            await until(process, b"read\r\nread\r\n")  # shown as typed, and by cat
            await process.write(b"\x03")
            assert b"interrupted" in (await all_of(process))[0]
        async with started(rig.runtime, seen, spec("cat", stdin=True, tty=True)) as process:
            await process.write(b"x\r\x04")
            assert (await all_of(process))[2] == ExecEnd(0)

    async def test_signals(self, rig: RuntimeRig) -> None:
        """Promise: a signal reaches the command, which may handle it."""
        seen = await running(rig.runtime, rig.spec())
        script = "trap 'echo got; exit 5' INT; echo ready; while :; do sleep 0.1; done"
        async with started(rig.runtime, seen, spec("sh", "-c", script)) as process:
            await until(process, b"ready")
            await process.signal(signal.SIGINT)
            assert (await all_of(process))[2] == ExecEnd(5)
        async with started(rig.runtime, seen, spec("sleep", "600")) as process:
            await process.signal(signal.SIGTERM)
            assert (await all_of(process))[2] == ExecEnd(143)

    @pytest.mark.parametrize("tty", [False, True])
    async def test_what_is_closed_is_gone(self, rig: RuntimeRig, *, tty: bool) -> None:
        """Promise: nothing of a command is left once its client has gone, whatever it ignores; the app goes on."""
        seen = await running(rig.runtime, rig.spec())
        script = "trap '' HUP TERM; sleep 7654321 & (trap '' HUP; sleep 7654321) & echo ready; sleep 7654321"
        async with started(rig.runtime, seen, spec("sh", "-c", script, stdin=True, tty=tty)) as process:
            await until(process, b"ready")
            assert b"sleep 7654321" in await commands_in(rig.runtime, seen)
        await until_gone(rig.runtime, seen, b"sleep 7654321")
        now = await rig.runtime.observe(seen.deployment_id, 0)
        assert now is not None
        assert (now.uid, now.restarts) == (seen.uid, 0)

    async def test_output_that_nobody_reads(self, rig: RuntimeRig) -> None:
        """Promise: the command waits while its output is not read, and can be ended then."""
        seen = await running(rig.runtime, rig.spec())
        async with started(rig.runtime, seen, spec("yes", "7654321")) as process:
            await until(process, b"7654321\n")
            assert b"yes 7654321" in await commands_in(rig.runtime, seen)
        await until_gone(rig.runtime, seen, b"yes 7654321")

    @pytest.mark.parametrize("tty", [False, True])
    async def test_what_a_krane_leaves_behind_is_ended(self, rig: RuntimeRig, *, tty: bool) -> None:
        """Promise: a command of a krane that was killed is gone by the time that the next one works; others stay."""
        seen = await running(rig.runtime, rig.spec())
        left = await rig.runtime.exec(seen.name, seen.uid, spec("sh", "-c", "echo ready; sleep 7654321", tty=tty))
        await until(left, b"ready")
        await rig.runtime.close()
        runtime = rig.make()
        await runtime.open()
        await until_gone(runtime, seen, b"sleep 7654321")
        await left.close()

    async def test_an_instance_that_ends(self, rig: RuntimeRig) -> None:
        """Promise: a command ends with its instance, and none begins in one that is gone."""
        seen = await running(rig.runtime, rig.spec())
        async with started(rig.runtime, seen, spec("sh", "-c", "echo ready; sleep 600")) as process:
            await until(process, b"ready")
            await rig.runtime.delete(seen.deployment_id, seen.name, grace_s=1)
            assert (await all_of(process))[2].exit_code in (137, None)
        for name, uid in ((seen.name, seen.uid), ("dep-1-0", "none")):
            with pytest.raises(FailedPrecondition) as refused:
                await rig.runtime.exec(name, uid, spec("true"))
            assert refused.value.code == "exec.not_running"
