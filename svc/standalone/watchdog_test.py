"""A process that hangs is ended, one that is slow, refuses or fails is not."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkg import local_http
from pkg.observability import liveness
from pkg.testing.wait import WAIT_S
from svc.standalone.children import Child
from svc.standalone.supervised import SupervisedProcess
from svc.standalone.watchdog import Silence, SilenceLimits, Watchdog

SILENCE_LIMITS = SilenceLimits(silent_s=20.0, start_s=120.0)


def silence() -> Silence:
    return Silence(SILENCE_LIMITS, pid=1, since=0.0)


def test_silence_is_too_long_only_in_a_row() -> None:
    """Promise: one answer in between, however late, and the count begins from nothing."""
    one = silence()
    one.heard(True, 1.0)
    for now in (8.0, 15.0):
        one.heard(False, now)
    assert not one.is_too_long(22.0)  # two questions are no proof
    one.heard(True, 22.0)
    for now in (29.0, 36.0, 41.9):
        one.heard(False, now)
        assert not one.is_too_long(now)
    assert one.is_too_long(42.0)


def test_a_start_may_take_longer() -> None:
    """Promise: what has not answered yet in this life has the bound of a start."""
    one = silence()
    for now in range(7, 119, 7):
        one.heard(False, float(now))
        assert not one.is_too_long(float(now))
    assert one.is_too_long(120.0)


def test_a_suspended_machine_is_excused() -> None:
    """Promise: silence of a time in which the supervisor did not run either is not held against a process."""
    one = silence()
    one.heard(True, 1.0)
    for now in (8.0, 15.0, 4000.0):
        one.heard(False, now)
    one.excuse(4001.0)
    one.heard(False, 4008.0)
    assert not one.is_too_long(4008.0)


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 7.0)), max_size=60))
def test_never_ended_within_the_bound(told: list[tuple[bool, float]]) -> None:
    """Promise: whatever the answers, nothing is ended that was heard less than its bound ago."""
    one, now, last = silence(), 0.0, 0.0
    for answered, pause in told:
        now += pause
        one.heard(answered, now)
        last = now if answered else last
        assert not one.is_too_long(now) or now - last >= SILENCE_LIMITS.silent_s


SERVICE = """
import asyncio, pathlib, sys
from pkg.observability import liveness
async def main():
    async with await liveness.serve(pathlib.Path(sys.argv[1])):
        await asyncio.sleep(3600)
asyncio.run(main())
"""


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[SupervisedProcess]:
    child = Child(
        [sys.executable, "-c", SERVICE, str(tmp_path / "s")], log_path=tmp_path / "log", pidfile=tmp_path / "pid",
        cwd=Path(__file__).parents[2], env=os.environ, scratch=tmp_path / "scratch",
    )  # fmt: skip
    made = SupervisedProcess(name="service", pidfile=tmp_path / "pid", launch=child.launch, collect=child.collect)
    made.start()
    yield made
    await made.stop()


async def answering(path: Path) -> None:
    while not await local_http.answers(f"unix://{path}", "/"):  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.02)


async def test_a_stopped_process_is_ended_and_started_again(process: SupervisedProcess, tmp_path: Path) -> None:
    """Promise: SIGSTOP of a process that takes connections on is noticed, ended by SIGKILL, and started again."""

    async def ask() -> bool:
        return await local_http.reacts(f"unix://{tmp_path / 's'}", "/", timeout_s=0.2)

    watchdog = Watchdog({"service": process}, {"service": ask}, {"service": SilenceLimits(1.0, 20.0)})
    async with asyncio.timeout(WAIT_S):
        await answering(tmp_path / "s")
        await watchdog.look()
        first = process.pid
        assert first
        os.kill(first, signal.SIGSTOP)
        began = time.monotonic()
        while process.pid in {first, None}:
            await watchdog.look()
            await asyncio.sleep(0.05)
        assert time.monotonic() - began >= 1.0
        assert "no answer" in process.last_end
        await answering(tmp_path / "s")


async def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    """Promise: no socket, a socket that nobody serves, a cut connection: none of them is silence."""
    path = tmp_path / "s"
    assert await local_http.reacts(f"unix://{path}", "/", timeout_s=0.5)
    server = await liveness.serve(path)
    assert await local_http.reacts(f"unix://{path}", "/", timeout_s=0.5)
    server.close()
    assert await local_http.reacts(f"unix://{path}", "/", timeout_s=0.5)


async def test_a_missing_pidfile_is_written_again(process: SupervisedProcess) -> None:
    """Promise: a pidfile that could not be written on a full disk is there as soon as it can be."""
    process.pidfile.unlink()
    process.keep_pidfile()
    assert process.pidfile.read_text().split()[0] == str(process.pid)
