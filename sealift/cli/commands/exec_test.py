"""`sealift exec`: the real program, in a real terminal and between pipes, against the fake server."""

import asyncio
import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from sealift.cli.conftest import BOUND_S, ROOT, Eventually, Program, Terminal
from sealift.client.testing import FakeServer
from sealift.ctrl.v1 import common_pb2, exec_pb2


def is_alive(pid: int) -> bool:
    try:
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def resize(terminal: Terminal, columns: int, rows: int) -> None:
    fcntl.ioctl(terminal.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def is_raw(terminal: Terminal) -> bool:
    return not termios.tcgetattr(terminal.ours)[3] & (termios.ICANON | termios.ECHO)


async def test_output_and_exit_code(sealift: Program, server: FakeServer) -> None:
    """Promise: both outputs stay apart, nothing is added to them, and the exit code is the command's."""
    done = await sealift("exec", "--", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (done.code, done.out, done.err) == (42, "out\n", "err\n")
    start = server.exec_starts[0]
    assert (start.environment_id, start.stdin, start.tty) == ("env_production", False, False)
    assert not start.HasField("replica")
    done = await sealift("exec", "--deployment", "dep_1", "--instance", "eu/2", "--", "true", "--env", "-x")
    assert done.code == 0
    start = server.exec_starts[1]
    assert (start.deployment_id, start.region, start.replica) == ("dep_1", "eu", 2)
    assert list(start.command) == ["true", "--env", "-x"]


async def test_stdin_only_with_i(sealift: Program) -> None:
    """Promise: with -i stdin reaches the command whole, with its end; without it the command has none."""
    text = "0123456789abcde\n" * 200_000
    done = await sealift("exec", "-i", "--", "cat", stdin=text)
    assert done.code == 0
    assert done.out == text
    done = await sealift("exec", "-i", "--", "head", "-c", "3", stdin=text)
    assert (done.code, done.out) == (0, "012")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("exec",), "name the command after --, for a shell: sealift exec -it -- sh"),
        (("exec", "--"), "sealift exec -it -- sh"),
        (("exec", "sh"), "sealift exec -it -- sh"),
        (("exec", "-t", "--", "sh"), "-t: stdout is no terminal here: leave -t out"),
        (("exec", "-it", "--", "sh"), "-i alone sends stdin"),
        (("exec", "--instance", "x", "--", "sh"), "--instance: 'x' is not a number"),
    ],
)
async def test_what_is_refused_before_a_call(
    sealift: Program, server: FakeServer, words: tuple[str, ...], said: str
) -> None:
    """Promise: a wrong command line says what to write, and nothing is run."""
    done = await sealift(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert server.exec_starts == []


async def test_a_refusal_of_the_server(sealift: Program, server: FakeServer) -> None:
    """Promise: why a command was not begun is said, with the exit codes of all commands."""
    for status, code in (("RESOURCE_EXHAUSTED", 1), ("UNAVAILABLE", 7), ("PERMISSION_DENIED", 3)):
        server.exec_refusal = (status, "exec.limit", "because of that")
        done = await sealift("exec", "--", "true")
        assert (done.code, done.out) == (code, "")
        assert "error: because of that [exec.limit" in done.err


async def test_what_ended_the_command_is_said(sealift: Program, server: FakeServer) -> None:
    """Promise: an end that is not the command's own has its reason on stderr, and so has what can't be kept."""
    problem = common_pb2.Problem(code="exec.instance_ended", message="the instance\x1b[2J has ended")
    server.exec_end, server.exec_notice = exec_pb2.ExecExit(exit_code=137, problem=problem), "no shell"
    done = await sealift("exec", "--", "echo", "x")
    assert (done.code, done.out) == (137, "x\n")
    assert "notice: no shell" in done.err
    assert "error: the instance has ended [exec.instance_ended]" in done.err


async def test_the_first_signal_is_the_commands(sealift: Program, server: FakeServer, eventually: Eventually) -> None:
    """Promise: without a terminal Ctrl-C reaches the command; the second one ends this program and the command."""
    for script, sends, code in (("trap 'exit 7' INT", 1, 7), ("trap '' INT", 2, 130)):
        process = await sealift.start("exec", "--", "sh", "-c", f"{script}; echo ready; while :; do sleep 0.05; done")
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), BOUND_S) == b"ready\n"
        for _ in range(sends):
            process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.1)
        _, err = await asyncio.wait_for(process.communicate(), BOUND_S)
        assert process.returncode == code
        assert (b"interrupted" in err) == (code == 130)
        await eventually(lambda: not is_alive(server.exec_pids[-1]))


async def test_killed(sealift: Program, server: FakeServer, eventually: Eventually) -> None:
    """Promise: kill -9 of this program ends the call."""
    process = await sealift.start("exec", "--", "sleep", "600")
    await eventually(lambda: bool(server.exec_pids))
    process.kill()
    await process.communicate()
    await eventually(lambda: not is_alive(server.exec_pids[-1]))


async def test_the_reader_of_stdout_leaves(sealift: Program, server: FakeServer, eventually: Eventually) -> None:
    """Promise: as in a pipe to head: this program ends, and so does the command."""
    read, write = os.pipe()
    with os.fdopen(write, "wb") as out:
        process = await sealift.start("exec", "--", "yes", stdout=out)
    with os.fdopen(read, "rb") as lines:
        assert await asyncio.to_thread(lines.readline) == b"y\n"
    await asyncio.wait_for(process.communicate(), BOUND_S)
    assert process.returncode == 1
    await eventually(lambda: not is_alive(server.exec_pids[-1]))


async def test_a_terminal(sealift: Program, server: FakeServer, eventually: Eventually) -> None:
    """Promise: keys, Ctrl-C among them, go to the command; it sees the terminal's type, size and each new size; the
    terminal is as it was afterwards."""
    sealift.env["TERM"] = "xterm-color"
    script = (
        "trap 'echo interrupted; exit 6' INT; echo $TERM; stty size; read a; echo got $a; stty size;"
        " while :; do sleep 0.1; done"
    )
    async with sealift.at_terminal("exec", "-it", "--", "sh", "-c", script) as terminal:
        before = termios.tcgetattr(terminal.ours)
        resize(terminal, 97, 24)
        await eventually(lambda: bool(server.exec_pids))
        await terminal.until(b"xterm-color\r\n")
        assert is_raw(terminal)
        resize(terminal, 101, 33)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.type(b"word\r")
        await terminal.until(b"got word")
        await terminal.until(b"33 101")
        terminal.type(b"\x03")
        await terminal.until(b"interrupted")
        assert await terminal.end() == 6
        assert terminal.text.count("word") == 2  # as the command's terminal shows it, and as it is printed
        assert termios.tcgetattr(terminal.ours)[:4] == before[:4]


@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "refused", "lost"])
async def test_the_terminal_is_restored(sealift: Program, server: FakeServer, how: str, eventually: Eventually) -> None:
    """Promise: however it ends, the terminal works as before."""
    if how == "refused":
        server.exec_refusal = ("UNAVAILABLE", "exec.region_away", "away")
    async with sealift.at_terminal("exec", "-it", "--", "sh", "-c", "echo ready; sleep 600") as terminal:
        before = termios.tcgetattr(terminal.ours)
        if how != "refused":
            await terminal.until(b"ready")
            assert is_raw(terminal)
        if how == "lost":
            await server.stop()
        elif how != "refused":
            terminal.process.send_signal(getattr(signal, how))
        assert await terminal.end() == (7 if how in ("refused", "lost") else 130)
        assert termios.tcgetattr(terminal.ours)[:4] == before[:4]
    if how in ("SIGTERM", "SIGHUP"):
        await eventually(lambda: not is_alive(server.exec_pids[-1]))


async def test_a_stopped_program_goes_on_raw(sealift: Program, server: FakeServer, eventually: Eventually) -> None:
    """Promise: after a stop, when the shell has had the terminal, it is raw again."""
    async with sealift.at_terminal("exec", "-it", "--", "sh", "-c", "echo ready; read a; exit 3") as terminal:
        await terminal.until(b"ready")
        raw = termios.tcgetattr(terminal.ours)
        cooked = [*raw[:3], raw[3] | termios.ICANON | termios.ECHO, *raw[4:]]
        terminal.process.send_signal(signal.SIGSTOP)
        termios.tcsetattr(terminal.ours, termios.TCSANOW, cooked)
        assert not is_raw(terminal)
        terminal.process.send_signal(signal.SIGCONT)
        await eventually(lambda: is_raw(terminal))
        terminal.type(b"\r")
        assert await terminal.end() == 3


def test_help_names_the_form() -> None:
    """Promise: --help shows how to name a command, and what the exit codes mean."""
    done = subprocess.run(
        [sys.executable, "-m", "sealift.cli.main", "exec", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "sealift exec [OPTIONS] -- COMMAND [ARGS]..." in done.stdout
    assert "127" in done.stdout
