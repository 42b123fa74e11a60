"""A process is known by boot, pid and start time; a detached one outlives us and can be adopted."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkg.testing.wait import WAIT_S
from svc.standalone.detach import detach
from svc.standalone.process import (
    Identity,
    end,
    identify,
    is_alive,
    parse_pidfile,
    read_pidfile,
    send_signal,
    wait_ended,
    write_pidfile,
)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Identity]:
    identity = detach(
        ["/bin/sleep", "60"], pidfile=tmp_path / "a.pid", log_path=tmp_path / "a.log", env=os.environ, cwd=tmp_path
    )
    yield identity
    send_signal(identity, signal.SIGKILL)


async def test_detached_process_is_nobodys_child(sleeper: Identity, tmp_path: Path) -> None:
    """Envoy and a private engine survive their supervisor: their parent is not us."""
    stat = Path(f"/proc/{sleeper.pid}/stat").read_text().rpartition(")")[2].split()
    assert int(stat[1]) != os.getpid()
    assert read_pidfile(tmp_path / "a.pid") == sleeper == identify(sleeper.pid)


async def test_adoption_refuses_a_reused_pid(sleeper: Identity, tmp_path: Path) -> None:
    """A pidfile whose pid now belongs to another process, or to another boot, names nobody."""
    pidfile = tmp_path / "b.pid"
    write_pidfile(pidfile, Identity(sleeper.pid, sleeper.started - 1, sleeper.boot))
    assert read_pidfile(pidfile) is None
    write_pidfile(pidfile, Identity(sleeper.pid, sleeper.started, "another boot"))
    assert read_pidfile(pidfile) is None
    pidfile.write_text("rubbish")
    assert read_pidfile(pidfile) is None


async def test_ended_detached_process_is_noticed(sleeper: Identity) -> None:
    """The death of a process that is not our child is seen at once, and asking it to end works."""
    waiting = asyncio.create_task(wait_ended(sleeper))
    assert await end(sleeper, grace_s=5.0)
    await asyncio.wait_for(waiting, WAIT_S)
    assert not is_alive(sleeper)
    await wait_ended(sleeper)


async def test_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """A stop is bounded whatever the process does."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    log = tmp_path / "log"
    stubborn = detach(
        [sys.executable, "-c", code], pidfile=tmp_path / "pid", log_path=log, env=os.environ, cwd=tmp_path
    )
    async with asyncio.timeout(WAIT_S):
        while "up" not in log.read_text():  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)
    assert not await end(stubborn, grace_s=0.2)
    assert not is_alive(stubborn)


def test_program_that_cannot_be_executed_leaves_no_pidfile(tmp_path: Path) -> None:
    """A failed start is an error of the caller, not a stale pidfile."""
    with pytest.raises(OSError, match="nowhere"):
        detach(["/nowhere"], pidfile=tmp_path / "pid", log_path=tmp_path / "log", env={}, cwd=tmp_path)
    assert not (tmp_path / "pid").exists()


def test_zombie_is_gone() -> None:
    """A dead child that nobody has reaped yet does not count as running."""
    with subprocess.Popen(["/bin/true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert identify(child.pid) is None


def test_parse_pidfile_names_the_dead_too(tmp_path: Path) -> None:
    """The starter of a process learns its identity, even if it ended at once."""
    dead = Identity(2**22 + 1, 1, "boot")
    write_pidfile(tmp_path / "pid", dead)
    assert (tmp_path / "pid").stat().st_mode & 0o777 == 0o600
    assert parse_pidfile(tmp_path / "pid") == dead
