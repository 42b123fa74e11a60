"""The tests that every telemetry store passes."""

import asyncio
import time
from dataclasses import replace

from pkg.access import HOUR_S, MINUTE_S, AccessFigures, Answers
from pkg.telemetry.access import AccessRecord
from pkg.telemetry.events import BuildEvent, BuildLine, BuildStep, LogStream, StepState, first_seq
from pkg.telemetry.port import Telemetry


def line(text: str, seq: int, attempt: int = 1, at: int = 1000) -> BuildEvent:
    """A line of a step."""
    return BuildEvent(attempt, seq, at, BuildLine("s1", LogStream.STDOUT, text))


def access(at: int, deployment_id: str = "dep_a", revision: int = 1, requests: int = 1) -> AccessRecord:
    """What a replica counted in a minute."""
    figures = AccessFigures(
        Answers(status_2xx=requests), Answers(status_5xx=2), 3, 2**40, 5, {12: requests, 145: 2**40}
    )
    return AccessRecord("proj_a", MINUTE_S, at, deployment_id, "local", "inst_a", 7, revision, at + 9, False, figures)


def texts(events: list[BuildEvent]) -> list[str]:
    """The lines' texts."""
    return [e.event.text for e in events if isinstance(e.event, BuildLine)]


def numbers_are_complete(events: list[BuildEvent]) -> bool:
    """Whether no number is missing within any attempt, and attempts follow each other."""
    wanted: list[int] = []
    for attempt in sorted({event.attempt for event in events}):
        count = sum(event.attempt == attempt for event in events)
        wanted += range(first_seq(attempt), first_seq(attempt) + count)
    return [event.seq for event in events] == wanted


class TelemetryContract:
    """What every store promises. An adapter's tests inherit it, with a fixture `telemetry` of their own."""

    async def test_events_come_back_as_they_were(self, telemetry: Telemetry) -> None:
        """Every field of both kinds survives, in the order of the numbers that the writer gave."""
        step = BuildStep("s1", "[1/2] RUN x", StepState.FAILED, 5, 9, "exit code: 7")
        odd = BuildLine("", LogStream.SYSTEM, "emoji 🛳 \x00 \ufffd 'quotes'")
        events = [line("one", 1), BuildEvent(1, 2, 1001, step), BuildEvent(1, 7, 1002, odd)]
        await telemetry.builds.append("bld_a", events[:2])
        await telemetry.builds.append("bld_a", events[2:])
        await telemetry.builds.append("bld_a", [])
        assert await telemetry.builds.read("bld_a") == events

    async def test_reading_resumes_by_sequence_number(self, telemetry: Telemetry) -> None:
        """A reader that lost its connection continues after the last number it saw; no other build is mixed in."""
        await telemetry.builds.append("bld_a", [line(str(n), n) for n in range(1, 11)])
        await telemetry.builds.append("bld_b", [line("other", 1)])
        assert texts(await telemetry.builds.read("bld_a", after_seq=7)) == ["8", "9", "10"]
        assert texts(await telemetry.builds.read("bld_a", after_seq=2, limit=2)) == ["3", "4"]
        assert await telemetry.builds.read("bld_unknown") == []

    async def test_storing_again_changes_nothing(self, telemetry: Telemetry) -> None:
        """A writer that got no answer may repeat a batch: each event is there once."""
        events = [line(str(n), n) for n in range(1, 4)]
        await telemetry.builds.append("bld_a", events[:2])
        await telemetry.builds.append("bld_a", events)
        await telemetry.builds.append("bld_a", events[:1])
        assert await telemetry.builds.read("bld_a") == events

    async def test_a_later_attempts_event_counts(self, telemetry: Telemetry) -> None:
        """Late events of a replaced attempt, under numbers that the new one uses, are not read, in either order."""
        new = [line(f"new {n}", n, attempt=2) for n in (3, 4)]
        late = [replace(line(f"late {n}", n), at=2000) for n in (3, 4, 5)]
        await telemetry.builds.append("bld_a", [line("first", 1), line("second", 2), late[0], new[1]])
        await telemetry.builds.append("bld_a", [new[0], *late[1:]])
        assert texts(await telemetry.builds.read("bld_a")) == ["first", "second", "new 3", "new 4", "late 5"]

    async def test_delete_and_retention(self, telemetry: Telemetry) -> None:
        """Old builds go as a whole, by their last event; younger ones stay."""
        await telemetry.builds.append("bld_old", [line("x", 1, at=10), line("x", 2, at=20)])
        await telemetry.builds.append("bld_mixed", [line("x", 1, at=10), line("x", 2, at=99)])
        assert await telemetry.builds.delete_before(50) == 1
        assert await telemetry.builds.read("bld_old") == []
        assert len(await telemetry.builds.read("bld_mixed")) == 2
        await telemetry.builds.delete("bld_mixed")
        await telemetry.builds.delete("bld_mixed")
        assert await telemetry.builds.read("bld_mixed") == []

    async def test_access_figures_come_back_as_they_were(self, telemetry: Telemetry) -> None:
        """Every field survives; what is read is of the project, step, time and deployment asked for, by time."""
        records = [access(120_000), access(60_000), access(60_000, "dep_b")]
        hour = replace(access(0), step_s=HOUR_S, is_incomplete=True)
        await telemetry.access.store([])
        await telemetry.access.store([*records, hour, replace(access(60_000), project_id="proj_b")])
        assert await telemetry.access.read("proj_a", MINUTE_S, 0, 180_000) == [records[1], records[2], records[0]]
        assert await telemetry.access.read("proj_a", MINUTE_S, 60_000, 120_000, deployment_id="dep_b") == [records[2]]
        assert await telemetry.access.read("proj_a", MINUTE_S, 0, 180_000, limit=1) == [records[1]]
        assert await telemetry.access.read("proj_a", HOUR_S, 0, 1) == [hour]
        assert await telemetry.access.read("", MINUTE_S, 0, 180_000) == []

    async def test_the_highest_revision_counts(self, telemetry: Telemetry) -> None:
        """A record that is stored again or late changes nothing; another part, writer or region is another record."""
        await telemetry.access.store([access(0, revision=2, requests=20)])
        await telemetry.access.store([access(0, revision=3, requests=30)])
        await telemetry.access.store([access(0, revision=1, requests=10), access(0, revision=3, requests=30)])
        others = [
            replace(access(0), part=8),
            replace(access(0), writer="inst_b"),
            replace(access(0), region="other"),
        ]
        await telemetry.access.store(others)
        read = await telemetry.access.read("proj_a", MINUTE_S, 0, 1)
        assert sorted(record.figures.app.status_2xx for record in read) == [1, 1, 1, 30]
        assert len(await telemetry.access.read("proj_a", MINUTE_S, 0, 1, limit=4)) == 4

    async def test_old_access_figures_are_forgotten(self, telemetry: Telemetry) -> None:
        """By the length of their steps; builds and younger steps stay."""
        hour = replace(access(0), step_s=HOUR_S)
        await telemetry.access.store([access(0), access(60_000), hour])
        await telemetry.builds.append("bld_a", [line("stays", 1, at=0)])
        for _ in range(2):
            await telemetry.access.delete_before(MINUTE_S, 60_000)
        assert await telemetry.access.read("proj_a", MINUTE_S, 0, 120_000) == [access(60_000)]
        assert await telemetry.access.read("proj_a", HOUR_S, 0, 120_000) == [hour]
        assert texts(await telemetry.builds.read("bld_a")) == ["stays"]

    async def test_changed_wakes_soon_and_misses_nothing(self, telemetry: Telemetry) -> None:
        """A waiter wakes within a fraction of a second of a write, also of one between its reading and its waiting."""
        token = await telemetry.changes.changed(0, 0)
        await telemetry.builds.append("bld_a", [line("between", 1)])
        token = await asyncio.wait_for(telemetry.changes.changed(token, 5), 1)
        waiters = [asyncio.create_task(telemetry.changes.changed(token, 5)) for _ in range(20)]
        started = time.monotonic()
        await telemetry.builds.append("bld_a", [line("x", 2)])
        tokens = await asyncio.wait_for(asyncio.gather(*waiters), 2)
        assert all(t > token for t in tokens)
        assert time.monotonic() - started < 0.5

    async def test_changed_ends_when_the_time_is_up(self, telemetry: Telemetry) -> None:
        """Silence returns the same token after the time given."""
        token = await telemetry.changes.changed(0, 0)
        started = time.monotonic()
        assert await telemetry.changes.changed(token, 0.1) == token
        assert 0.09 < time.monotonic() - started < 2

    async def test_a_store_that_works_says_so(self, telemetry: Telemetry) -> None:
        """A healthy store passes its check, closes, and may be closed twice."""
        await telemetry.check()
        await telemetry.close()
        await telemetry.close()
