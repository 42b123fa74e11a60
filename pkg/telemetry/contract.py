"""The tests that every telemetry store passes."""

import asyncio
import time
from dataclasses import replace

from pkg.access import HOUR_S, MINUTE_S, AccessFigures, Answers
from pkg.telemetry.access import AccessRecord
from pkg.telemetry.app_lines import AppLine, LineKey, LogSource, SourceHead, SourceLines
from pkg.telemetry.events import BuildEvent, BuildLine, BuildStep, LogStream, StepState, first_seq
from pkg.telemetry.port import Telemetry
from pkg.telemetry.usage import DAY_S, UsageFigures, UsageRecord


def line(text: str, seq: int, attempt: int = 1, at: int = 1000) -> BuildEvent:
    """A line of a step."""
    return BuildEvent(attempt, seq, at, BuildLine("s1", LogStream.STDOUT, text))


def access(at: int, deployment_id: str = "dep_a", revision: int = 1, requests: int = 1) -> AccessRecord:
    """What a replica counted in a minute."""
    figures = AccessFigures(
        Answers(status_2xx=requests), Answers(status_5xx=2), 3, 2**40, 5, {12: requests, 145: 2**40}
    )
    return AccessRecord("proj_a", MINUTE_S, at, deployment_id, "local", "inst_a", 7, revision, at + 9, False, figures)


def used(measured_at: int, seq: int, step_s: int = MINUTE_S, cpu_ns: int = 5) -> UsageRecord:
    """What an instance had used at some time."""
    figures = UsageFigures(cpu_ns, 2**60, 60_000, 1, 2**40, None, 0, 7)
    at = measured_at - measured_at % (step_s * 1000)
    return UsageRecord(
        "proj_a", step_s, "dep_a", "src", 1, at, seq, "dep-a-0", "local", measured_at, None, 2**33, figures
    )


def printed(first: int, last: int, source_id: str = "a", *, at: int = 1000, text: str = "") -> list[AppLine]:
    """Lines of an instance, one in each millisecond from `at` on."""
    return [
        AppLine(source_id, seq, at + seq - first, LogStream.STDOUT, text or f"{source_id}{seq}")
        for seq in range(first, last + 1)
    ]


def batch(lines: list[AppLine], deployment_id: str = "dep_a", resume: str = "") -> SourceLines:
    """The lines of one source, as krane reports them."""
    source_id = lines[0].source_id
    return SourceLines(LogSource(deployment_id, source_id, f"{deployment_id}-0", "local"), lines, resume)


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

    async def test_app_lines_come_back_as_they_were(self, telemetry: Telemetry) -> None:
        """Every field of lines and of their source survives; a source is known before it prints."""
        lines = [
            AppLine("a", 1, 1000, LogStream.STDOUT, "emoji 🛳 \x00 \ufffd 'quotes'", is_partial=True),
            AppLine("a", 2, 1000, LogStream.STDERR, ""),
            AppLine("a", 3, 2**45, LogStream.SYSTEM, "x" * 16384),
        ]
        quiet = LogSource("dep_a", "q", "dep-a-1", "other")
        await telemetry.logs.append([])
        await telemetry.logs.append([SourceLines(quiet, [], "begin"), batch(lines, resume="r3")])
        assert await telemetry.logs.read_source("dep_a", "a", 0, 0) == lines
        heads = [SourceHead(batch(lines).source, 3, 2**45, "r3"), SourceHead(quiet, 0, 0, "begin")]
        assert await telemetry.logs.heads("dep_a") == heads
        assert await telemetry.logs.heads("dep_unknown") == []

    async def test_app_lines_stored_again_change_nothing(self, telemetry: Telemetry) -> None:
        """A batch that is repeated, as a whole or in part, is there once; the head stays at the newest line."""
        await telemetry.logs.append([batch(printed(1, 3), resume="r3")])
        await telemetry.logs.append([batch(printed(4, 6, at=1003), resume="r6")])
        await telemetry.logs.append([batch(printed(1, 3), resume="r3")])
        await telemetry.logs.append([batch(printed(3, 5, at=1002), resume="r5")])
        assert await telemetry.logs.read_source("dep_a", "a", 0, 0) == printed(1, 6)
        assert await telemetry.logs.read_by_time("dep_a", LineKey(0, "", 0)) == printed(1, 6)
        assert await telemetry.logs.read_newest("dep_a", 0, limit=6) == printed(1, 6)
        (head,) = await telemetry.logs.heads("dep_a")
        assert (head.seq, head.at, head.resume) == (6, 1005, "r6")

    async def test_app_lines_are_read_in_every_order(self, telemetry: Telemetry) -> None:
        """By time across sources, page by page; the newest; one source after a number; nothing of other deployments."""
        logs = telemetry.logs
        await logs.append([batch(printed(1, 4, "b")), batch(printed(1, 3, "a")), batch(printed(1, 9, "z"), "dep_b")])
        ordered = ["a1", "b1", "a2", "b2", "a3", "b3", "b4"]
        first = await logs.read_by_time("dep_a", LineKey(0, "", 0), limit=3)
        last = LineKey(first[-1].at, first[-1].source_id, first[-1].seq)
        assert [one.text for one in first + await logs.read_by_time("dep_a", last)] == ordered
        assert [one.text for one in await logs.read_newest("dep_a", 0, limit=2)] == ordered[-2:]
        assert [one.text for one in await logs.read_newest("dep_a", 1001, source_id="a")] == ["a2", "a3"]
        assert [one.text for one in await logs.read_source("dep_a", "b", 1001, 2, limit=1)] == ["b3"]

    async def test_app_lines_are_bounded_by_size(self, telemetry: Telemetry) -> None:
        """The oldest lines of the one deployment go; the last seconds and the head stay."""
        for minute in range(1, 4):
            lines = printed(minute * 10 - 9, minute * 10, at=minute * 60_000, text="x" * 9900)
            await telemetry.logs.append([batch(lines), batch(lines, "dep_b")])
        assert not await telemetry.logs.trim("dep_a", 1_000_000)
        assert await telemetry.logs.trim("dep_a", 250_000)
        assert [one.seq for one in await telemetry.logs.read_newest("dep_a", 0)] == list(range(11, 31))
        assert await telemetry.logs.trim("dep_a", 1)
        assert [one.seq for one in await telemetry.logs.read_newest("dep_a", 0)] == list(range(21, 31))
        assert not await telemetry.logs.trim("dep_a", 1)
        assert len(await telemetry.logs.read_newest("dep_b", 0)) == 30
        assert [head.seq for head in await telemetry.logs.heads("dep_a")] == [30]

    async def test_app_lines_are_forgotten(self, telemetry: Telemetry) -> None:
        """By age, with sources that ended long ago; and by deployment."""
        await telemetry.logs.append([batch(printed(1, 3, "old", at=10)), batch(printed(1, 3, "new", at=12))])
        await telemetry.logs.append([batch(printed(1, 3), "dep_b")])
        for _ in range(2):
            await telemetry.logs.delete_before(13)
        assert [one.text for one in await telemetry.logs.read_newest("dep_a", 0)] == ["new2", "new3"]
        assert [head.source.source_id for head in await telemetry.logs.heads("dep_a")] == ["new"]
        for _ in range(2):
            await telemetry.logs.delete("dep_a")
        assert await telemetry.logs.read_newest("dep_a", 0) == []
        assert await telemetry.logs.heads("dep_a") == []
        assert len(await telemetry.logs.read_newest("dep_b", 0)) == 3

    async def test_app_lines_wake_followers(self, telemetry: Telemetry) -> None:
        """A follower of an app is told of its lines as one of a build is."""
        await telemetry.logs.append([batch(printed(1, 1))])
        token = await telemetry.changes.changed(0, 0)
        await telemetry.logs.append([batch(printed(2, 2))])
        assert await telemetry.changes.changed(token, 60) > token

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

    async def test_access_figures_go_with_what_was_deleted(self, telemetry: Telemetry) -> None:
        """Those of one deployment, or of all of a project; nothing of others."""
        other = replace(access(0), project_id="proj_b")
        records = [access(0), access(0, deployment_id="dep_b"), replace(access(0), step_s=HOUR_S), other]
        await telemetry.access.store(records)
        for _ in range(2):
            await telemetry.access.delete("proj_a", records[0].deployment_id)
        assert await telemetry.access.read("proj_a", MINUTE_S, 0, 1) == [records[1]]
        assert await telemetry.access.read("proj_a", HOUR_S, 0, 1) == []
        await telemetry.access.delete("proj_a")
        assert await telemetry.access.read("proj_a", MINUTE_S, 0, 1) == []
        assert await telemetry.access.read("proj_b", MINUTE_S, 0, 1) == [other]

    async def test_the_last_usage_of_each_series(self, telemetry: Telemetry) -> None:
        """Every field survives; of each series the last record before a time is read, if it is not too old."""
        minutes = [used(59_000, 1), used(61_000, 2, cpu_ns=9), used(125_000, 3, cpu_ns=20)]
        other = replace(used(30_000, 1, cpu_ns=1), source_id="other", cpu_millicores=250)
        again = replace(other, began_at=2)
        await telemetry.usage.store([])
        await telemetry.usage.store([*minutes, other, again, used(61_000, 2, DAY_S)])
        assert await telemetry.usage.latest("proj_a", MINUTE_S, 180_000) == [other, again, minutes[2]]
        assert await telemetry.usage.latest("proj_a", MINUTE_S, 120_000) == [other, again, minutes[1]]
        assert await telemetry.usage.latest("proj_a", MINUTE_S, 120_000, since=60_000) == [minutes[1]]
        assert await telemetry.usage.latest("proj_a", MINUTE_S, 180_000, limit=1) == [other]
        assert await telemetry.usage.latest("proj_a", MINUTE_S, 180_000, deployment_id="dep_b") == []
        assert await telemetry.usage.latest("proj_b", MINUTE_S, 180_000) == []
        assert await telemetry.usage.latest("proj_a", DAY_S, 180_000) == [used(61_000, 2, DAY_S)]

    async def test_usage_reported_again_counts_once(self, telemetry: Telemetry) -> None:
        """Of the records of a step the highest number counts, in whatever order and however often they come."""
        for records in ([used(10_000, 2)], [used(25_000, 5, cpu_ns=50)], [used(20_000, 4), used(25_000, 5, cpu_ns=50)]):
            await telemetry.usage.store(records)
        assert await telemetry.usage.latest("proj_a", MINUTE_S, 60_000) == [used(25_000, 5, cpu_ns=50)]

    async def test_usage_is_forgotten(self, telemetry: Telemetry) -> None:
        """By the length of the steps, by deployment and by project; nothing of others."""
        others = [replace(used(0, 1), deployment_id="dep_b"), replace(used(0, 1), project_id="proj_b")]
        await telemetry.usage.store([used(0, 1), used(60_000, 2), used(0, 1, DAY_S), *others])
        for _ in range(2):
            await telemetry.usage.delete_before(MINUTE_S, 60_000)
        assert await telemetry.usage.latest("proj_a", MINUTE_S, 60_000) == []
        assert await telemetry.usage.latest("proj_a", MINUTE_S, 120_000) == [used(60_000, 2)]
        assert await telemetry.usage.latest("proj_a", DAY_S, 60_000) == [used(0, 1, DAY_S)]
        await telemetry.usage.store(others)
        for _ in range(2):
            await telemetry.usage.delete("proj_a", "dep_a")
        assert await telemetry.usage.latest("proj_a", MINUTE_S, 120_000) == [others[0]]
        assert await telemetry.usage.latest("proj_a", DAY_S, 120_000) == []
        await telemetry.usage.delete("proj_a")
        assert await telemetry.usage.latest("proj_a", MINUTE_S, 120_000) == []
        assert await telemetry.usage.latest("proj_b", MINUTE_S, 120_000) == [others[1]]

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
