"""A second store, in memory and with followers woken by a condition, takes its section and one line of the union.

It passes the tests of every store, and nothing outside of this file knows it. It appends only and chooses at reading,
as a columnar database does.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import pytest

from pkg.config import ConfigError, Strict, load
from pkg.telemetry import (
    AccessRecord,
    AppLine,
    BuildEvent,
    LineKey,
    LogStream,
    SourceHead,
    SourceLines,
    Telemetry,
    TelemetryConfig,
    UsageRecord,
)
from pkg.telemetry.app_lines import LINE_OVERHEAD_BYTES
from pkg.telemetry.app_lines_sql import TRIM_STEP_MS, trim_before
from pkg.telemetry.contract import TelemetryContract
from pkg.telemetry.factory import AnyTelemetryConfig
from pkg.telemetry.port import MAX_READ, MAX_READ_ACCESS, MAX_READ_USAGE


class MemoryChanges:
    """Counts what was stored."""

    def __init__(self) -> None:
        self._token = 1
        self._stored = asyncio.Condition()

    async def notify(self) -> None:
        async with self._stored:
            self._token += 1
            self._stored.notify_all()

    async def changed(self, after: int, timeout_s: float) -> int:
        try:
            async with asyncio.timeout(timeout_s), self._stored:
                await self._stored.wait_for(lambda: self._token > after)
        except TimeoutError:
            pass
        return self._token


class MemoryBuilds:
    """Rows in the order in which they came."""

    def __init__(self, changes: MemoryChanges) -> None:
        self._changes = changes
        self._rows: defaultdict[str, list[BuildEvent]] = defaultdict(list)

    async def append(self, build_id: str, events: Sequence[BuildEvent]) -> None:
        if events:
            self._rows[build_id] += events
            await self._changes.notify()

    async def read(self, build_id: str, after_seq: int = 0, limit: int = MAX_READ) -> list[BuildEvent]:
        by_attempt = sorted(self._rows.get(build_id, ()), key=lambda event: event.attempt)
        latest = {event.seq: event for event in by_attempt if event.seq > after_seq}
        return [latest[seq] for seq in sorted(latest)][:limit]

    async def delete(self, build_id: str) -> None:
        self._rows.pop(build_id, None)

    async def delete_before(self, at: int) -> int:
        old = [build_id for build_id, events in self._rows.items() if max(event.at for event in events) < at]
        for build_id in old:
            await self.delete(build_id)
        return len(old)


class MemoryLogs:
    """Lines by what identifies them, and the latest head of each source."""

    def __init__(self, changes: MemoryChanges) -> None:
        self._changes = changes
        self._lines: dict[tuple[str, LineKey], AppLine] = {}
        self._heads: dict[tuple[str, str], SourceHead] = {}

    async def append(self, batches: Sequence[SourceLines]) -> None:
        for batch in batches:
            deployment_id, source_id = batch.source.deployment_id, batch.source.source_id
            last = batch.lines[-1] if batch.lines else AppLine(source_id, 0, 0, LogStream.SYSTEM, "")
            head = SourceHead(batch.source, last.seq, last.at, batch.resume)
            for line in batch.lines:
                self._lines.setdefault((deployment_id, LineKey(line.at, source_id, line.seq)), line)
            known = self._heads.setdefault((deployment_id, source_id), head)
            if known.seq < head.seq:
                self._heads[deployment_id, source_id] = head
            await self._changes.notify()

    async def heads(self, deployment_id: str) -> list[SourceHead]:
        return [head for (of, _), head in sorted(self._heads.items()) if of == deployment_id]

    async def read_by_time(self, deployment_id: str, after: LineKey, limit: int = MAX_READ) -> list[AppLine]:
        return [line for key, line in self._of(deployment_id) if key > after][:limit]

    async def read_newest(
        self, deployment_id: str, since: int, *, source_id: str = "", limit: int = MAX_READ
    ) -> list[AppLine]:
        found = [line for _, line in self._of(deployment_id) if source_id in ("", line.source_id) and line.at >= since]
        return found[-limit:]

    async def read_source(
        self, deployment_id: str, source_id: str, at: int, after_seq: int, limit: int = MAX_READ
    ) -> list[AppLine]:
        found = [line for _, line in self._of(deployment_id) if line.source_id == source_id and line.seq > after_seq]
        return [line for line in found if line.at >= at][:limit]

    async def trim(self, deployment_id: str, max_bytes: int) -> bool:
        sizes: defaultdict[int, int] = defaultdict(int)
        for key, line in self._of(deployment_id):
            sizes[key.at - key.at % TRIM_STEP_MS] += len(line.text) + LINE_OVERHEAD_BYTES
        before = trim_before(sorted(sizes.items(), reverse=True), max_bytes)
        self._forget(lambda of, at: of == deployment_id and at < before)
        return bool(before)

    async def delete(self, deployment_id: str) -> None:
        self._forget(lambda of, _: of == deployment_id)
        self._heads = {key: head for key, head in self._heads.items() if key[0] != deployment_id}

    async def delete_before(self, at: int) -> None:
        self._forget(lambda _, printed_at: printed_at < at)
        self._heads = {key: head for key, head in self._heads.items() if head.at >= at}

    def _of(self, deployment_id: str) -> list[tuple[LineKey, AppLine]]:
        return sorted((key, line) for (of, key), line in self._lines.items() if of == deployment_id)

    def _forget(self, is_old: Callable[[str, int], bool]) -> None:
        self._lines = {(of, key): line for (of, key), line in self._lines.items() if not is_old(of, key.at)}


class MemoryAccess:
    """The latest revision of each record, by what identifies it."""

    def __init__(self) -> None:
        self._records: dict[tuple[object, ...], AccessRecord] = {}

    async def store(self, records: Sequence[AccessRecord]) -> None:
        for one in records:
            key = (one.at, one.project_id, one.step_s, one.deployment_id, one.region, one.writer, one.part)
            if key not in self._records or self._records[key].revision <= one.revision:
                self._records[key] = one

    async def read(
        self,
        project_id: str,
        step_s: int,
        since: int,
        until: int,
        *,
        deployment_id: str = "",
        limit: int = MAX_READ_ACCESS,
    ) -> list[AccessRecord]:
        found = (
            one
            for _, one in sorted(self._records.items())
            if (one.project_id, one.step_s) == (project_id, step_s) and since <= one.at < until
        )
        return [one for one in found if deployment_id in ("", one.deployment_id)][:limit]

    async def delete(self, project_id: str, deployment_id: str = "") -> None:
        mine = (project_id, deployment_id)
        self._records = {
            key: one
            for key, one in self._records.items()
            if (one.project_id, deployment_id and one.deployment_id) != mine
        }

    async def delete_before(self, step_s: int, at: int) -> None:
        self._records = {k: one for k, one in self._records.items() if (one.step_s, one.at >= at) != (step_s, False)}


class MemoryUsage:
    """The last version of each record, by what identifies it."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, int, str, str, int, int], UsageRecord] = {}

    async def store(self, records: Sequence[UsageRecord]) -> None:
        for one in records:
            key = (one.project_id, one.step_s, one.deployment_id, one.source_id, one.began_at, one.at)
            if key not in self._records or self._records[key].seq <= one.seq:
                self._records[key] = one

    async def latest(
        self,
        project_id: str,
        step_s: int,
        before: int,
        *,
        since: int = 0,
        deployment_id: str = "",
        limit: int = MAX_READ_USAGE,
    ) -> list[UsageRecord]:
        last: dict[tuple[str, str, int], UsageRecord] = {}
        for _, one in sorted(self._records.items()):
            is_asked_for = (one.project_id, one.step_s) == (project_id, step_s) and one.at < before
            if is_asked_for and deployment_id in ("", one.deployment_id):
                last[one.deployment_id, one.source_id, one.began_at] = one
        return [one for one in last.values() if one.at >= since][:limit]

    async def delete(self, project_id: str, deployment_id: str = "") -> None:
        mine = (project_id, deployment_id)
        self._records = {
            key: one
            for key, one in self._records.items()
            if (one.project_id, deployment_id and one.deployment_id) != mine
        }

    async def delete_before(self, step_s: int, at: int) -> None:
        self._records = {k: one for k, one in self._records.items() if (one.step_s, one.at >= at) != (step_s, False)}


class MemoryTelemetry:
    """`Telemetry` of one process."""

    def __init__(self) -> None:
        self.changes = MemoryChanges()
        self.builds = MemoryBuilds(self.changes)
        self.logs = MemoryLogs(self.changes)
        self.access = MemoryAccess()
        self.usage = MemoryUsage()

    async def check(self) -> None:
        pass

    async def close(self) -> None:
        pass


class MemoryConfig(TelemetryConfig):
    """Telemetry that ends with the process."""

    backend: Literal["memory"] = "memory"

    def open(self) -> MemoryTelemetry:
        return MemoryTelemetry()


# The line of pkg/telemetry/factory.py, with one more member.
WithMemory: TypeAlias = AnyTelemetryConfig | MemoryConfig


class Config(Strict):
    """A service's."""

    telemetry: WithMemory


def opened(tmp_path: Path, text: str) -> Telemetry:
    (tmp_path / "service.toml").write_text(text)
    return load(tmp_path / "service.toml", Config).telemetry.open()


@pytest.fixture
async def telemetry(tmp_path: Path) -> Telemetry:
    return opened(tmp_path, '[telemetry]\nbackend = "memory"\n')


class TestMemoryTelemetry(TelemetryContract):
    """All of the contract."""


def test_a_store_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """Promise: the refusal lists the stores that exist."""
    with pytest.raises(
        ConfigError, match=r"telemetry\.backend: expected one of 'sqlite', 'clickhouse', 'memory', got 'paper'"
    ):
        opened(tmp_path, '[telemetry]\nbackend = "paper"\n')
