"""Run the tests: `python -m tests [PYTEST ARGUMENT...]`.

With several engines in SEALIFT_TEST_ENGINE_SOCKETS, as many workers share the files among them; else all tests run in
this process. SIGTERM ends them like Ctrl-C, as when a CI gives up: what they have started is ended and removed, too.
"""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from tests.workers import engine_sockets


def _end(*_: object) -> None:
    """Has the workers clean up, too: a terminal sends Ctrl-C to all of them, `kill` to one."""
    for child in _children():
        os.kill(child, signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


def _children() -> list[int]:
    with Path(f"/proc/self/task/{os.getpid()}/children").open() as children:
        return [int(pid) for pid in children.read().split()] if engine_sockets() else []


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background processes with Ctrl-C ignored
    signal.signal(signal.SIGTERM, _end)
    arguments = ["-p", "tests.plugin", *sys.argv[1:]]
    if not engine_sockets():
        sys.exit(pytest.main(arguments))
    # pytest's own folder and the worker's in it would be too long a path for sockets
    folder = tempfile.mkdtemp(prefix="t-")
    workers = ["-n", str(len(engine_sockets())), "--dist", "loadfile", "--no-loadscope-reorder", "--basetemp", folder]
    code = pytest.main([*workers, *arguments])
    if code == pytest.ExitCode.OK:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(code)
