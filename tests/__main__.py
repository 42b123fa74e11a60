"""Run the tests: `python -m tests [PYTEST ARGUMENT...]`.

With several engines in SEALIFT_TEST_ENGINE_SOCKETS, as many workers share the files among them; else all tests run in
this process. The few that fail beside others then run once more, alone. SIGTERM ends them like Ctrl-C, as when a CI
gives up: what they have started is ended and removed, too.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.workers import ENGINES, engine_sockets

# More are no accident of a busy machine: then the run has failed (docs/adr/0060).
AGAIN_AT_MOST = 10


class Failed:
    """Plugin that keeps the ids of the tests that failed, or whose fixtures did.

    Attributes:
        is_complete: no file failed to be collected, whose tests nobody knows.
    """

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}
        self.is_complete = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called with each report of a worker."""
        if report.failed:
            self.ids[report.nodeid] = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Called with each report of a worker on a file."""
        self.is_complete &= not report.failed


def main(arguments: list[str]) -> int:
    """Run those that the arguments of pytest select. Returns pytest's exit code."""
    arguments = ["-p", "tests.plugin", *arguments]
    if not engine_sockets():
        return pytest.main(arguments)
    # pytest's own folder and the worker's in it would be too long a path for sockets
    folder = tempfile.mkdtemp(prefix="t-")
    workers = ["-n", str(len(engine_sockets())), "--dist", "loadfile", "--no-loadscope-reorder", "--basetemp", folder]
    failed = Failed()
    code = pytest.main([*workers, *arguments], plugins=[failed])
    if code == pytest.ExitCode.OK:
        shutil.rmtree(folder, ignore_errors=True)
    ids = list(failed.ids)
    if code != pytest.ExitCode.TESTS_FAILED or not failed.is_complete or not 0 < len(ids) <= AGAIN_AT_MOST:
        return code
    print(f"\n{len(ids)} failed beside other tests. They run once more, alone:", *ids, sep="\n  ", flush=True)
    # another process: modules and their fixtures are as new in it
    environment = {name: value for name, value in os.environ.items() if name != ENGINES}
    again = subprocess.run([sys.executable, "-m", "tests", *arguments, *ids], env=environment, check=False)
    if again.returncode == pytest.ExitCode.OK:
        print("\nFLAKY: these failed beside other tests, and passed alone:", *ids, sep="\n  ", flush=True)
    return again.returncode


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
    sys.exit(main(sys.argv[1:]))
