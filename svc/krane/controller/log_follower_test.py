"""One instance's log: bounded in memory and in rate, with a mark in place of what is missing."""

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from pkg.output.redact import Redactor
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import log_pb2 as pb
from svc.krane.controller import log_follower
from svc.krane.controller.log_follower import LogFollower
from svc.krane.controller.log_throttle import LogLimits, Throttle
from svc.krane.runtime.port import InstanceStatus, LogRecord, Observation, Runtime

SECOND_NS = 1_000_000_000
SEEN = Observation("dep-1-0", "uid-1", "dep_1", 0, InstanceStatus.RUNNING)
WIDE = LogLimits(1 << 30, 1 << 30)


class Source:
    """A runtime that has one instance, which prints what it is told to.

    Attributes:
        asked: since when, at each time that it was followed.
    """

    def __init__(self) -> None:
        self.records: asyncio.Queue[list[LogRecord]] = asyncio.Queue()
        self.asked: list[int] = []

    async def observe(self, deployment_id: str, replica: int) -> Observation | None:
        return SEEN

    async def logs(self, name: str, uid: str, since_s: int) -> AsyncGenerator[list[LogRecord]]:
        self.asked.append(since_s)
        while True:
            yield await self.records.get()

    def print(self, *texts: str, at_s: int = 100) -> None:
        self.records.put_nowait([LogRecord(at_s * SECOND_NS, False, text.encode()) for text in texts])


class Following:
    """A follower at work on a source."""

    def __init__(self, limits: LogLimits, resume: str = "", seq: int = 0) -> None:
        self.source = Source()
        runtime = cast(Runtime, self.source)
        self.follower = LogFollower(SEEN, runtime, Redactor(), limits, lambda: None)
        self.follower.begin(pb.LogHead(source_id=self.follower.source_id, seq=seq, resume=resume))
        self.task = asyncio.create_task(self.follower.run())

    async def settled(self) -> list[pb.ReportedLine]:
        """What is to be reported, once everything that was printed was taken or waits."""
        for _ in range(200):
            await asyncio.sleep(0)
        return [line for chunk in self.follower.due(1 << 40) for line in chunk.lines]

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_numbers_go_on_and_a_gap_is_marked() -> None:
    """Promise: reading begins where the api says; dropped lines leave a mark before the next ones."""
    following = Following(WIDE, resume="99:2:99500000000", seq=7)
    following.source.print("new", at_s=100)
    lines = await following.settled()
    assert following.source.asked == [99]
    assert [(line.seq, line.stream, line.text) for line in lines] == [
        (8, pb.LOG_STREAM_SYSTEM, log_follower.DROPPED),
        (9, pb.LOG_STREAM_STDOUT, "new"),
    ]
    assert following.follower.due(1 << 40)[-1].resume == "99:1:100000000000"
    await following.end()


async def test_a_place_of_another_version_begins_anew() -> None:
    """Promise: a position that can't be read costs repeated lines, never the log."""
    following = Following(WIDE, resume="v9:?", seq=3)
    following.source.print("a")
    assert [(line.seq, line.text) for line in await following.settled()] == [(4, "a")]
    await following.end()


async def test_an_api_that_takes_nothing_stops_the_reading() -> None:
    """Promise: memory is bounded while nothing is taken, and reading goes on once something is."""
    following = Following(WIDE)
    for number in range(40):
        following.source.print(f"{number:02}" + "x" * 100_000)
    held = await following.settled()
    assert 1_000_000 < sum(len(line.text) for line in held) < 1_300_000
    texts: list[str] = [""]
    while held:
        for line in held:
            texts[-1] += line.text
            texts += [] if line.is_partial else [""]
        following.follower.reported(len(following.follower.due(1 << 40)))
        held = await following.settled()
    assert texts == [*(f"{number:02}" + "x" * 100_000 for number in range(40)), ""]
    await following.end()


async def test_a_silent_log_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: where the runtime has ceased to write to a stream, lines come late and are not lost, nor doubled."""
    monkeypatch.setattr(log_follower, "SILENT_S", 0.05)
    following = Following(WIDE)
    following.source.print("a", at_s=100)
    async with asyncio.timeout(WAIT_S):
        while len(following.source.asked) < 3:
            await following.settled()
    following.source.print("a", "b", at_s=100)
    assert [line.text for line in await following.settled()] == ["a", "b"]
    assert following.source.asked[-1] == 99
    await following.end()


async def test_too_much_is_cut_with_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: beyond the burst lines are counted and left out; the mark says how many, and what follows is there."""
    following = Following(LogLimits(1 << 10, 20_000))
    for number in range(10):
        following.source.print(*[f"{number} " + "x" * 1000] * 10)
    kept = await following.settled()
    assert len(kept) == 20
    monkeypatch.setattr(log_follower, "QUIET_S", -1.0)
    following.follower.tick()
    *_, mark = await following.settled()
    assert mark.stream == pb.LOG_STREAM_SYSTEM
    assert mark.text.startswith("80 lines of 78 KiB are missing here: the app printed more than 1 KiB in a second")
    await following.end()


async def test_far_too_much_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: an app that prints without end is not even read: its log goes on at its end after a pause."""
    monkeypatch.setattr(log_follower, "MAX_COUNTED_BYTES", 10_000)
    following = Following(LogLimits(10_000, 1000))
    following.source.print("x" * 2000)
    following.source.print(*["y" * 6000] * 10)
    following.source.print("after")
    lines = await following.settled()
    async with asyncio.timeout(60):
        while lines[-1].text != "after":
            await asyncio.sleep(0.01)
            lines = await following.settled()
    assert lines[-2].text.startswith("10 lines of 58 KiB are missing here, and what it printed in the 0 s after them")
    first, second = following.source.asked
    assert (first, second > 1_700_000_000) == (0, True)
    await following.end()


def test_the_throttle_opens_again_half_full() -> None:
    """Promise: bursts pass, the sustained rate holds, and what was cut stays cut until there is room for a while."""
    now = 0.0
    throttle = Throttle(LogLimits(100, 1000), lambda: now)
    assert [throttle.allows(400) for _ in range(4)] == [True, True, True, False]
    assert throttle.opens_in_s == 7.0
    now = 6.0
    assert not throttle.allows(1)
    now = 7.1
    assert throttle.allows(400)
