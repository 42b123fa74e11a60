"""Starting a process that outlives its supervisor: forked twice, until its parent is no longer ours.

Envoy's binary asks the kernel to be ended when the thread that started it ends (PR_SET_PDEATHSIG). That request is made
against the parent at the time of exec, so the grandchild waits for its new parent before it executes the program.
"""

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from svc.standalone.logfiles import open_log
from svc.standalone.process import Identity, identify, write_pidfile

REPARENT_TIMEOUT_S = 5.0


def detach(argv: Sequence[str], *, pidfile: Path, log_path: Path, env: Mapping[str, str], cwd: Path) -> Identity:
    """Start `argv` in a session of its own, as nobody's child, its output appended to `log_path`.

    The new process writes `pidfile` itself before it becomes the program, so that it can be found and adopted even if
    the supervisor is killed at this very moment.

    Raises:
        OSError: the program could not be executed; no pidfile is left.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _become(argv, pidfile, log_path, env, cwd, writer)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as report:
        # The pipe closes by itself when the program is executed: whatever was written before is a failure.
        identity, _, failure = report.read().partition("\n")
    if failure or not identity:
        raise OSError(f"{argv[0]} could not be started: {failure}")
    return Identity.parse(identity)


def _become(argv: Sequence[str], pidfile: Path, log_path: Path, env: Mapping[str, str], cwd: Path, writer: int) -> None:
    """Run in the forked child. Never returns."""
    try:
        os.setsid()
        middle = os.getpid()
        if os.fork() > 0:
            os._exit(0)
        _await_reparenting(middle)
        identity = identify(os.getpid())
        assert identity is not None
        os.write(writer, f"{identity}\n".encode())
        with contextlib.suppress(OSError):  # a full disk; the process writes it as soon as there is room
            write_pidfile(pidfile, identity)
        try:
            _redirect(log_path)
            os.chdir(cwd)
            for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            os.execve(argv[0], list(argv), dict(env))  # noqa: S606 - no shell is the point
        except OSError:
            pidfile.unlink(missing_ok=True)
            raise
    except BaseException as error:  # the only way to report it to the parent
        os.write(writer, f"{error}".encode())
    finally:
        os._exit(127)


def _await_reparenting(middle: int) -> None:
    end = time.monotonic() + REPARENT_TIMEOUT_S
    while os.getppid() == middle:
        if time.monotonic() > end:
            raise OSError("the intermediate process did not end")
        time.sleep(0.001)


def _redirect(log_path: Path) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    log = open_log(log_path)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
