"""Processes are restarted, adopted and ended; children end with their supervisor, detached ones do not."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pkg.testing.wait import WAIT_S
from svc.standalone.children import Child
from svc.standalone.command import ROOT
from svc.standalone.detach import detach
from svc.standalone.errors import StartupError
from svc.standalone.process import Identity, is_alive, read_pidfile, send_signal
from svc.standalone.supervised import SupervisedProcess


async def until(holds: Callable[[], object], timeout_s: float = WAIT_S) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - the kernel sends no notice
            await asyncio.sleep(0.005)


def child_process(tmp_path: Path, argv: list[str]) -> SupervisedProcess:
    child = Child(argv, tmp_path / "log", tmp_path / "pid", tmp_path, os.environ, tmp_path / "tmp")
    return SupervisedProcess(name="sleeper", pidfile=tmp_path / "pid", launch=child.launch, collect=child.collect)


def detached_process(tmp_path: Path) -> SupervisedProcess:
    def launch() -> Identity:
        return detach(
            ["/bin/sleep", "60"], pidfile=tmp_path / "pid", log_path=tmp_path / "log", env=os.environ, cwd=tmp_path
        )

    return SupervisedProcess(name="sleeper", pidfile=tmp_path / "pid", launch=launch, outlives=True)


async def test_a_start_that_fails_later_is_tried_again(tmp_path: Path) -> None:
    """A private engine whose packet rules can't be made for a moment is started as soon as they can."""
    process = detached_process(tmp_path)
    launch, refusals = process.launch, [StartupError("the lock is held"), OSError("disk")]
    process.start()
    try:
        first = process.pid
        assert first

        def refuse_twice() -> Identity:
            if refusals:
                raise refusals.pop(0)
            return launch()

        process.launch = refuse_twice
        os.kill(first, signal.SIGKILL)
        await until(lambda: process.pid not in {None, first})
        assert refusals == []
    finally:
        await process.stop()


@pytest.mark.parametrize(
    ("script", "why"),
    [("""echo '{"level": "error", "msg": "no such host"}'""", "no such host"), ("echo bye", "see /")],
)
async def test_why_a_child_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture, script: str, why: str) -> None:
    """A service that can't start is told with its own last error, else with where its log is."""
    process = child_process(tmp_path, ["/bin/sh", "-c", f"{script}; exit 3"])
    process.start()
    await until(lambda: process.restarts)
    await process.stop()
    assert process.last_end.startswith(f"exit code 3 ({why}")
    assert f"sleeper ended with {process.last_end}" in caplog.text


async def test_killed_child_is_started_again(tmp_path: Path) -> None:
    """After kill -9 the next one runs, without the last one's temporary files; its end is known."""
    process = child_process(tmp_path, ["/bin/sh", "-c", "umask 0; touch $TMPDIR/$$; exec sleep 60"])
    process.start()
    first = process.pid
    assert first
    await until((tmp_path / "tmp" / str(first)).exists)
    os.kill(first, signal.SIGKILL)
    await until(lambda: process.pid not in {None, first})
    assert process.last_end == "signal SIGKILL"
    assert process.restarts == 1
    second = process.pid
    await until((tmp_path / "tmp" / str(second)).exists)
    assert not (tmp_path / "tmp" / str(first)).exists()
    assert (tmp_path / "tmp").stat().st_mode & 0o777 == 0o700
    await process.stop()
    assert process.pid is None
    assert not process.pidfile.exists()


async def test_killed_detached_part_is_started_again(tmp_path: Path) -> None:
    """kill -9 of Envoy: the next one runs although it is not our child."""
    process = detached_process(tmp_path)
    process.start()
    first = process.pid
    assert first
    os.kill(first, signal.SIGKILL)
    await until(lambda: process.pid not in {None, first})
    await process.stop()


async def test_detached_part_is_adopted(tmp_path: Path) -> None:
    """An upgrade of the supervisor leaves Envoy serving; the next supervisor watches and can end it."""
    before = detached_process(tmp_path)
    before.start()
    pid = before.pid
    await before.let_go()
    after = detached_process(tmp_path)
    after.start()
    assert after.pid == pid
    identity = read_pidfile(tmp_path / "pid")
    assert identity
    await after.stop()
    assert not is_alive(identity)


async def test_stop_is_not_a_reason_to_restart(tmp_path: Path) -> None:
    """A stopped process stays stopped, also when it is stopped twice."""
    process = child_process(tmp_path, ["/bin/sleep", "60"])
    process.start()
    await process.stop()
    await process.stop()
    assert process.restarts == 0


async def test_child_ends_with_a_killed_supervisor(tmp_path: Path) -> None:
    """After kill -9 of the supervisor no service of it holds a port or the database, but detached ones serve on."""
    code = f"""
import os, pathlib, signal, sys
from svc.standalone.children import Child
from svc.standalone.detach import detach
tmp = pathlib.Path({str(tmp_path)!r})
Child(["/bin/sleep", "60"], tmp / "c.log", tmp / "c.pid", tmp, os.environ, tmp / "tmp").launch()
detach(["/bin/sleep", "60"], pidfile=tmp / "d.pid", log_path=tmp / "d.log", env=os.environ, cwd=tmp)
print("up", flush=True)
signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as supervisor:  # noqa: ASYNC220
        assert supervisor.stdout
        assert supervisor.stdout.readline() == b"up\n"
        child, detached = read_pidfile(tmp_path / "c.pid"), read_pidfile(tmp_path / "d.pid")
        assert child
        assert detached
        supervisor.kill()
    await until(lambda: not is_alive(child))
    assert is_alive(detached)
    send_signal(detached, signal.SIGKILL)
