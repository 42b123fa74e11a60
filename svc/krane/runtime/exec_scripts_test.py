"""The scripts that instances run, in the shells that instances have."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pkg.ids import new_id
from pkg.testing.wait import WAIT_S
from svc.krane.runtime.exec_scripts import end_command, guard_command, marked_command, piece, signal_command
from svc.krane.runtime.execs import ExecSpec

SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]


@pytest.fixture(params=SHELLS)
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """In which `sh` is one of the shells."""
    found = shutil.which(request.param)
    assert found is not None
    for name in ("sh", "dd", "sleep", "cat", "yes") if request.param == "busybox" else ("sh",):
        (tmp_path / name).symlink_to(found)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def run(
    command: Sequence[str], environment: dict[str, str], stdin: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(list(command), env=environment, input=stdin, capture_output=True, timeout=WAIT_S, check=False)


def start(command: Sequence[str], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        list(command), env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def fed(*words: str) -> Sequence[str]:
    return marked_command(ExecSpec(new_id("exec"), words, stdin=True))


def plain(*words: str, exec_id: str = "exec_1", tty: bool = False, term: str = "") -> Sequence[str]:
    return marked_command(ExecSpec(exec_id, words, tty=tty, term=term))


def test_a_command_keeps_its_words_and_its_code(environment: dict[str, str]) -> None:
    """Promise: words arrive as they were given; the code is the command's, 127 and 126 among them."""
    done = run(plain("printf", "%s|", "a b", "$x", "*", "", "'"), environment)
    assert (done.stdout, done.returncode) == (b"a b|$x|*||'|", 0)
    for make in (plain, fed):
        assert run(make("sh", "-c", "exit 9"), environment).returncode == 9
        for word, code in (("no-such-program", 127), ("/proc/version", 126)):
            done = run(make(word), environment)
            assert (done.returncode, word in done.stderr.decode()) == (code, True)


def test_the_terminal_type_is_set(environment: dict[str, str]) -> None:
    """Promise: a command sees the type of the client's terminal, and none where there is none."""
    assert run(plain("printenv", "TERM", tty=True, term="xterm"), environment).stdout == b"xterm\n"
    assert run(plain("printenv", "TERM"), environment).stdout == b""


def test_stdin_in_pieces(environment: dict[str, str]) -> None:
    """Promise: every byte arrives; the end is told apart from a broken connection by its length of 0."""
    data = os.urandom(200_000)
    pieces = b"".join(piece(data[at : at + 65_536]) for at in range(0, len(data), 65_536))
    done = run(fed("cat"), environment, pieces + piece(b""))
    assert (done.stdout, done.stderr, done.returncode) == (data, b"", 0)
    assert run(fed("sh", "-c", "cat; exit 3"), environment, piece(b"abc") + piece(b"")).returncode == 3
    assert run(fed("head", "-c", "2"), environment, pieces).stdout == data[:2]


def test_a_command_ends_while_its_stdin_is_open(environment: dict[str, str]) -> None:
    """Promise: a command that has ended does not wait for more of its stdin; what ended it is its code."""
    for script, code in (("exit 4", 4), ("kill -TERM $$", 143), ("kill -KILL $$", 137)):
        process = start(fed("sh", "-c", script), environment)
        try:
            assert process.wait(WAIT_S) == code
            assert process.stderr is not None
            assert process.stderr.read() == b""
        finally:
            process.kill()
            process.communicate()


def test_signals_and_ends_by_the_mark(environment: dict[str, str]) -> None:
    """Promise: exactly what carries the id is signalled and ended, with what it has started."""
    ours, other = new_id("exec"), new_id("exec")
    script = "trap 'echo got' USR1; trap '' HUP; echo ready; while :; do sleep 0.05; done"
    first = start(plain("sh", "-c", script, exec_id=ours), environment)
    second = start(plain("sleep", "600", exec_id=other), environment)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"ready\n"
        assert run(signal_command(ours, "USR1"), environment).returncode == 0
        assert first.stdout.readline() == b"got\n"
        assert run(end_command(ours), environment).returncode == 0
        assert first.wait(WAIT_S) == -signal.SIGKILL
        assert second.poll() is None
        assert run(end_command(other), environment).returncode == 0
        assert second.wait(WAIT_S) == -signal.SIGHUP
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()


def test_a_command_that_is_part_of_the_shell(environment: dict[str, str]) -> None:
    """Promise: a command that busybox runs without a program of its own has the mark, too."""
    for make in (plain, fed):
        command = make("yes")
        exec_id = command[4]
        process = start(command, environment)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"y\n"
            assert run(end_command(exec_id), environment).returncode == 0
            assert process.wait(WAIT_S) in (-signal.SIGHUP, 128 + signal.SIGHUP)
        finally:
            process.kill()
            process.communicate()


def test_a_guard_ends_the_command_after_a_silence(environment: dict[str, str]) -> None:
    """Promise: where nobody says that krane is gone, its silence does; what it says before puts that off."""
    exec_id = new_id("exec")
    guard = start(guard_command(exec_id, 3), environment)
    command = start(plain("sleep", "600", exec_id=exec_id), environment)
    try:
        assert guard.stdin is not None
        for _ in range(5):
            guard.stdin.write(b"beat\n")
            guard.stdin.flush()
            with pytest.raises(subprocess.TimeoutExpired):
                command.wait(1)
        assert command.wait(WAIT_S) == -signal.SIGHUP
        assert guard.wait(WAIT_S) == -signal.SIGKILL
    finally:
        for process in (guard, command):
            process.kill()
            process.communicate()


@pytest.mark.parametrize("said", [b"", b"beat\nend\n", b"done\n"])
def test_a_guard_ends_the_command_with_its_stdin(environment: dict[str, str], said: bytes) -> None:
    """Promise: when krane is gone the guard ends the command; it leaves it alone if it was told that all is well."""
    exec_id = new_id("exec")
    guard = start(guard_command(exec_id), environment)
    command = start(plain("sleep", "600", exec_id=exec_id), environment)
    try:
        assert guard.stdin is not None
        assert guard.stdout is not None
        assert guard.stdout.readline() == b"SEALIFT_EXEC_ID\n"
        guard.stdin.write(b"signal WINCH\n" + said)
        guard.stdin.close()
        assert guard.wait(WAIT_S) == 0
        if said == b"done\n":
            assert command.poll() is None
        else:
            assert command.wait(WAIT_S) == -signal.SIGHUP
    finally:
        for process in (guard, command):
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
