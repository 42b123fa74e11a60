"""A second store, in memory and with followers woken by a condition, takes its section and one line of the union.

It passes the tests of every store, and nothing outside of this file knows it. It appends only and chooses at reading,
as a columnar database does.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import pytest

from pkg.config import ConfigError, Strict, load
from pkg.telemetry import AccessRecord, BuildEvent, Telemetry, TelemetryConfig
from pkg.telemetry.contract import TelemetryContract
from pkg.telemetry.factory import AnyTelemetryConfig
from pkg.telemetry.port import MAX_READ, MAX_READ_ACCESS


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

    async def delete_before(self, step_s: int, at: int) -> None:
        self._records = {k: one for k, one in self._records.items() if (one.step_s, one.at >= at) != (step_s, False)}


class MemoryTelemetry:
    """`Telemetry` of one process."""

    def __init__(self) -> None:
        self.changes = MemoryChanges()
        self.builds = MemoryBuilds(self.changes)
        self.access = MemoryAccess()

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
