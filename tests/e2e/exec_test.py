"""`sealift exec` on a whole stack: what a user sees, and that nothing of a command is ever left behind."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkg.testing.wait import WAIT_S
from tests.harness import apps
from tests.harness.stack import ROOT, CliResult, Stack
from tests.harness.wait import eventually

# A number that no other process of the machine sleeps for.
NAP = "7654321"
SERVE = "trap 'exit 0' TERM; /bin/busybox httpd -f -p $PORT -h /www & while :; do sleep 1; done"
LIMITS = "[exec]\nmax_per_environment = 2\nidle_timeout_s = 20\n"


@pytest.fixture(scope="module")
def own(engine_socket: str) -> Iterator[Stack]:
    """A stack whose processes are killed; without silence bound to wait for elsewhere."""
    with Stack(engine_socket) as one:
        yield one


@pytest.fixture(scope="module")
def app(own: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A project with a live deployment."""
    return _deployed(own, tmp_path_factory.mktemp("app"), "execs")


def _deployed(stack: Stack, folder: Path, project: str) -> str:
    assert stack.sealift("projects", "create", project).code == 0
    done = stack.deploy(apps.app(folder / "app", command=SERVE), project)
    assert done.code == 0, done.err
    return project


def naps() -> list[int]:
    """The processes of this machine that sleep for that long, in containers or not."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and f"sleep\0{NAP}\0".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def run(stack: Stack, project: str, *words: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """`sealift exec` between pipes, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "sealift.cli.main", "exec", "--project", project, *words],
        cwd=ROOT, env=stack.env | {"PYTHONPATH": str(ROOT)}, input=stdin, capture_output=True, timeout=WAIT_S * 2,
        check=False,
    )  # fmt: skip


def begin(stack: Stack, project: str, *words: str) -> "subprocess.Popen[str]":
    """A command in the background that has napped."""
    process = stack.start_cli("exec", "--project", project, *words, "--", "sh", "-c", f"sleep {NAP} & sleep {NAP}")
    eventually(lambda: len(naps()) >= 2 or process.poll() is not None, what="the command runs")
    assert process.poll() is None, process.communicate()
    return process


def test_output_stdin_and_exit_codes(own: Stack, app: str) -> None:
    """Promise: both outputs apart, the command's exit code, 127 and 126 as shells say it, stdin with its end."""
    done = run(own, app, "--", "sh", "-c", "echo out; echo err >&2; exit 41")
    assert (done.returncode, done.stdout, done.stderr) == (41, b"out\n", b"err\n")
    done = run(own, app, "--", "no-such-program")
    assert (done.returncode, done.stdout) == (127, b"")
    assert b"no-such-program: not found in the instance [exec.command_not_found]" in done.stderr
    assert run(own, app, "--", "/www").returncode == 126
    done = run(own, app, "-i", "--", "sh", "-c", "cat; exit 3", stdin=b"typed\n")
    assert (done.returncode, done.stdout) == (3, b"typed\n")
    assert run(own, app, "--", "cat", stdin=b"not sent").stdout == b""
    assert run(own, app, "--", "sh", "-c", "echo $PORT").stdout == b"8080\n"


def test_ten_megabytes_through_a_pipe(own: Stack, app: str) -> None:
    """Promise: what is piped through a command comes back byte for byte."""
    data = os.urandom(10 << 20)
    done = run(own, app, "-i", "--", "cat", stdin=data)
    assert done.returncode == 0, done.stderr
    assert done.stdout == data


class Tty:
    """`sealift exec -it` at a real terminal."""

    def __init__(self, stack: Stack, project: str, *command: str) -> None:
        self.ours, theirs = pty.openpty()
        self.shown = b""
        self.resize(97, 24)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-m", "sealift.cli.main", "exec", "-it", "--project", project, "--",
             *command],
            cwd=ROOT, env=stack.env | {"PYTHONPATH": str(ROOT), "TERM": "xterm"}, stdin=theirs, stdout=theirs,
            stderr=theirs,
        )  # fmt: skip
        os.close(theirs)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def until(self, text: bytes) -> None:
        deadline = time.monotonic() + WAIT_S
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            if select.select([self.ours], [], [], 0.2)[0]:
                self.shown += os.read(self.ours, 65_536)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@contextlib.contextmanager
def terminal(stack: Stack, project: str, *command: str) -> Iterator[Tty]:
    one = Tty(stack, project, *command)
    try:
        yield one
    finally:
        one.close()


def test_a_shell_at_a_terminal(own: Stack, app: str) -> None:
    """Promise: a shell works as at a machine: its size and changes of it, Ctrl-C, Ctrl-D and its exit code."""
    with terminal(own, app, "sh") as tty:
        before = termios.tcgetattr(tty.ours)
        tty.type(b"stty size; echo $TERM-\r")
        tty.until(b"24 97\r\nxterm-\r\n")
        tty.resize(101, 33)
        tty.process.send_signal(signal.SIGWINCH)
        tty.type(b"sleep 1; stty size\r")
        tty.until(b"33 101\r\n")
        tty.type(f"sleep {NAP}\r".encode())
        eventually(naps, what="the shell's command runs")
        tty.type(b"\x03")
        eventually(lambda: not naps(), what="Ctrl-C has ended the shell's command")
        tty.type(b"echo still-$((40+2))\r")
        tty.until(b"still-42\r\n")
        tty.type(b"exit 5\r")
        assert tty.process.wait(WAIT_S) == 5
        assert termios.tcgetattr(tty.ours)[:4] == before[:4]


def test_signals_reach_the_command(own: Stack, app: str) -> None:
    """Promise: Ctrl-C without a terminal is the command's to handle; the second one ends it."""
    script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done"
    process = own.start_cli("exec", "--project", app, "--", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=WAIT_S)[0] == "caught\n"
    assert process.returncode == 9
    script = f"trap '' INT TERM HUP; echo ready; sleep {NAP}"
    process = own.start_cli("exec", "--project", app, "--", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert process.wait(WAIT_S) == 130
    eventually(lambda: not naps(), what="the command is gone")


def test_a_client_that_is_killed_leaves_nothing(own: Stack, app: str) -> None:
    """Promise: after kill -9 of the command line nothing of the command runs, at a terminal or not; the app goes on."""
    process = begin(own, app, "-i")
    process.kill()
    eventually(lambda: not naps(), what="the command is gone")
    with terminal(own, app, "sh", "-c", f"trap '' HUP; sleep {NAP} & sleep {NAP}") as tty:
        eventually(lambda: len(naps()) == 2, what="the command runs")
        tty.process.kill()
        eventually(lambda: not naps(), what="the command at the terminal is gone")
    assert own.get(app).status == 200


@pytest.mark.parametrize("killed", ["krane", "api"])
def test_a_process_that_is_killed(own: Stack, app: str, killed: str) -> None:
    """Promise: kill -9 of krane or of the api during a command: the user is told, nothing of it is left, and the next
    command works."""
    process = begin(own, app)
    own.kill(killed)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 7, err
    if killed == "krane":
        assert "exec.interrupted" in err
        assert "krane of region" in err
    eventually(lambda: not naps(), within_s=WAIT_S, what=f"the command is gone after kill -9 of {killed}")

    def works() -> bool:
        return run(own, app, "--", "true").returncode == 0

    eventually(works, within_s=WAIT_S, what="commands run again")
    assert own.get(app).status == 200


def test_an_instance_that_ends(own: Stack, tmp_path: Path) -> None:
    """Promise: a command whose instance ends says so, with the code of a killed command."""
    project = _deployed(own, tmp_path, "ends")
    process = begin(own, project)
    assert own.sealift("stop", "--live", "--yes", "--project", project).code == 0
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 137
    assert "has ended, and the command with it [exec.instance_ended]" in err
    eventually(lambda: not naps(), what="the command is gone")
    done = run(own, project, "--", "true")
    assert done.returncode == 1
    assert b"exec.no_instance" in done.stderr


def test_instances_and_roles(own: Stack, app: str) -> None:
    """Promise: an instance may be named; who may not deploy may not run commands."""
    assert run(own, app, "--instance", "0", "--", "true").returncode == 0
    done = run(own, app, "--instance", "7", "--", "true")
    assert (done.returncode, b"no instance 7" in done.stderr) == (1, True)
    key = (own.state / "secrets" / "krane.key").read_text().strip()
    env = {"SEALIFT_API_KEY": key}
    refused: CliResult = own.sealift("exec", "--deployment", "dep_" + "0" * 26, "--", "true", env=env)
    assert refused.code == 3
    assert "auth.role" in refused.err


def test_bounds(engine_socket: str, tmp_path: Path) -> None:
    """Promise: a command too many is refused with the bound; one without input and output is ended with the bound."""
    with Stack(engine_socket, toml=LIMITS) as stack:
        project = _deployed(stack, tmp_path, "bounds")
        began = time.monotonic()
        running = [stack.start_cli("exec", "--project", project, "--", "sleep", NAP) for _ in range(2)]
        eventually(lambda: len(naps()) == 2, what="two commands run")
        done = run(stack, project, "--", "true")
        assert done.returncode == 1
        assert b"max_per_environment = 2" in done.stderr
        for process in running:
            _, err = process.communicate(timeout=WAIT_S)
            assert process.returncode == 137
            assert "[exec.idle]" in err
        assert time.monotonic() - began >= 20
        eventually(lambda: not naps(), what="the commands are gone")
        assert run(stack, project, "--", "true").returncode == 0
