"""The SQLite adapter: WAL, `synchronous=NORMAL` (a power loss may cost the last lines, never the file).

One thread writes, two read, one waits for changes; each has its own connection.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from pkg.lifecycle.threads import close_in_thread
from pkg.telemetry.access import AccessRecord
from pkg.telemetry.access_sql import AccessRow, access_row_of, record_of
from pkg.telemetry.events import BuildEvent
from pkg.telemetry.polling import PolledChanges
from pkg.telemetry.port import MAX_READ, MAX_READ_ACCESS
from pkg.telemetry.sql import DELETE_BUILD, SELECT_EVENTS, events_of, row_of
from pkg.telemetry.sqlite import schema
from pkg.telemetry.sqlite.connection import ReaderPool, ThreadConnection
from pkg.telemetry.sqlite.logs import SqliteLogs
from pkg.telemetry.sqlite.usage import SqliteUsage

READERS = 2
# `PRAGMA data_version` shows one connection that another one, of any process, has committed. It costs microseconds.
POLL_S = 0.02


class SqliteTelemetry:
    """`port.Telemetry` on one file, made (0600) at the first use when missing.

    A full or failing disk is Unavailable `telemetry.unavailable`; what is stored stays. A damaged file is set aside
    (see `damage`), also while it is in use, and a new one begins.

    Attributes:
        builds: see `Telemetry.builds`.
        logs: see `Telemetry.logs`.
        access: see `Telemetry.access`.
        usage: see `Telemetry.usage`.
        changes: see `Telemetry.changes`.
    """

    def __init__(self, path: Path) -> None:
        writer = ThreadConnection(path, "telemetry-write")
        readers = [ThreadConnection(path, f"telemetry-read-{n}") for n in range(READERS)]
        watcher = ThreadConnection(path, "telemetry-watch")
        self._connections = (writer, *readers, watcher)
        pool = ReaderPool(readers)
        self.builds = SqliteBuilds(writer, pool)
        self.logs = SqliteLogs(writer, pool)
        self.access = SqliteAccess(writer, pool)
        self.usage = SqliteUsage(writer, pool)
        self.changes = PolledChanges(lambda: watcher.run(_version), POLL_S)

    async def check(self) -> None:
        """See `Telemetry.check`."""
        await self.builds.read("", limit=1)

    async def close(self) -> None:
        """See `Telemetry.close`."""
        await close_in_thread(self._close)

    def _close(self) -> None:
        for connection in self._connections:
            connection.close()


class SqliteBuilds:
    """`port.BuildTelemetry` on the connections of one file."""

    def __init__(self, writer: ThreadConnection, readers: ReaderPool) -> None:
        self._writer = writer
        self._readers = readers

    async def append(self, build_id: str, events: Sequence[BuildEvent]) -> None:
        """See `BuildTelemetry.append`. All or nothing."""
        if events:
            await self._writer.run(lambda connection: _append(connection, build_id, events))

    async def read(self, build_id: str, after_seq: int = 0, limit: int = MAX_READ) -> list[BuildEvent]:
        """See `BuildTelemetry.read`."""
        if not 1 <= limit <= MAX_READ:
            raise ValueError(f"limit={limit}: 1..{MAX_READ}")
        values = {"build_id": build_id, "after_seq": after_seq, "rows": limit}
        rows = await self._readers.next().run(lambda connection: connection.execute(SELECT_EVENTS, values).fetchall())
        return events_of(rows)

    async def delete(self, build_id: str) -> None:
        """See `BuildTelemetry.delete`."""
        await self._writer.run(lambda connection: _delete(connection, build_id))

    async def delete_before(self, at: int) -> int:
        """See `BuildTelemetry.delete_before`."""
        old = await self._writer.run(lambda connection: connection.execute(schema.SELECT_OLD, (at,)).fetchall())
        for (build_id,) in old:  # one transaction each: appends of running builds get in between
            await self.delete(build_id)
        await self._writer.shrink()
        return len(old)


class SqliteAccess:
    """`port.AccessTelemetry` on the connections of one file."""

    def __init__(self, writer: ThreadConnection, readers: ReaderPool) -> None:
        self._writer = writer
        self._readers = readers

    async def store(self, records: Sequence[AccessRecord]) -> None:
        """See `AccessTelemetry.store`. All or nothing."""
        if records:
            await self._writer.run(lambda connection: _store_access(connection, records))

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
        """See `AccessTelemetry.read`."""
        values = {
            "project_id": project_id,
            "step_s": step_s,
            "since": since,
            "until": until,
            "deployment_id": deployment_id,
            "rows": limit,
        }
        return await self._readers.next().run(
            lambda connection: [
                record_of(AccessRow(*row)) for row in connection.execute(schema.SELECT_ACCESS, values).fetchall()
            ]
        )

    async def delete(self, project_id: str, deployment_id: str = "") -> None:
        """See `AccessTelemetry.delete`."""
        await self._writer.delete_in_batches(schema.DELETE_ACCESS_OF, (project_id, deployment_id, deployment_id))

    async def delete_before(self, step_s: int, at: int) -> None:
        """See `AccessTelemetry.delete_before`."""
        await self._writer.delete_in_batches(schema.DELETE_ACCESS, (step_s, at))
        await self._writer.shrink()


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version


def _append(connection: sqlite3.Connection, build_id: str, events: Sequence[BuildEvent]) -> None:
    with schema.transaction(connection):
        connection.executemany(schema.UPSERT_EVENT, [(build_id, *row_of(event)) for event in events])
        last_seq, attempt = max(event.seq for event in events), max(event.attempt for event in events)
        at = max(event.at for event in events)
        connection.execute(schema.UPSERT_HEAD, (build_id, last_seq, attempt, at))


def _delete(connection: sqlite3.Connection, build_id: str) -> None:
    with schema.transaction(connection):
        connection.execute(DELETE_BUILD, {"build_id": build_id})
        connection.execute("DELETE FROM build_heads WHERE build_id = ?", (build_id,))


def _store_access(connection: sqlite3.Connection, records: Sequence[AccessRecord]) -> None:
    with schema.transaction(connection):
        connection.executemany(schema.UPSERT_ACCESS, [access_row_of(record) for record in records])
