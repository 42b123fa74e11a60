"""Lines of apps in the SQLite file."""

import sqlite3
from collections.abc import Sequence

from pkg.telemetry.app_lines import AppLine, LineKey, SourceHead, SourceLines
from pkg.telemetry.app_lines_sql import (
    LINE_COLUMNS,
    SELECT_BY_TIME,
    SELECT_NEWEST,
    SELECT_OF_SOURCE,
    SELECT_SIZES,
    SELECT_SOURCES,
    SOURCE_COLUMNS,
    LineRow,
    SourceRow,
    app_line_of,
    head_of,
    line_rows_of,
    source_row_of,
    trim_before,
)
from pkg.telemetry.port import MAX_READ
from pkg.telemetry.sqlite import schema
from pkg.telemetry.sqlite.connection import ReaderPool, ThreadConnection

_SELECT_HEAD = "SELECT seq FROM log_sources WHERE deployment_id = ? AND source_id = ?"
_INSERT_LINE = f"INSERT OR IGNORE INTO log_lines VALUES ({', '.join('?' * len(LINE_COLUMNS))})"  # noqa: S608
_UPSERT_SOURCE = f"""
INSERT INTO log_sources VALUES ({", ".join("?" * len(SOURCE_COLUMNS))})
ON CONFLICT (deployment_id, source_id) DO UPDATE SET seq = excluded.seq, at = excluded.at, resume = excluded.resume
WHERE excluded.seq > seq
"""  # noqa: S608 - of constants
_DELETE_LINES = """
DELETE FROM log_lines WHERE (deployment_id, at, source_id, seq) IN (
  SELECT deployment_id, at, source_id, seq FROM log_lines WHERE deployment_id = ? AND at < ? LIMIT ?)
"""
_DELETE_SOURCES = "DELETE FROM log_sources WHERE deployment_id = ?"
_SELECT_DEPLOYMENTS = "SELECT DISTINCT deployment_id FROM log_sources"
_DELETE_OLD_SOURCES = "DELETE FROM log_sources WHERE at < ?"
_END_OF_TIME = 2**63 - 1


class SqliteLogs:
    """`port.LogTelemetry` on the connections of one file."""

    def __init__(self, writer: ThreadConnection, readers: ReaderPool) -> None:
        self._writer = writer
        self._readers = readers

    async def append(self, batches: Sequence[SourceLines]) -> None:
        """See `LogTelemetry.append`. All or nothing."""
        if batches:
            await self._writer.run(lambda connection: _append(connection, batches))

    async def heads(self, deployment_id: str) -> list[SourceHead]:
        """See `LogTelemetry.heads`."""
        values = {"deployment_id": deployment_id}
        rows = await self._readers.next().run(lambda connection: connection.execute(SELECT_SOURCES, values).fetchall())
        return [head_of(SourceRow(*row)) for row in rows]

    async def read_by_time(self, deployment_id: str, after: LineKey, limit: int = MAX_READ) -> list[AppLine]:
        """See `LogTelemetry.read_by_time`."""
        return await self._read(
            SELECT_BY_TIME, deployment_id, limit, at=after.at, after_source=after.source_id, after_seq=after.seq
        )

    async def read_newest(
        self, deployment_id: str, since: int, *, source_id: str = "", limit: int = MAX_READ
    ) -> list[AppLine]:
        """See `LogTelemetry.read_newest`."""
        return (await self._read(SELECT_NEWEST, deployment_id, limit, since=since, source_id=source_id))[::-1]

    async def read_source(
        self, deployment_id: str, source_id: str, at: int, after_seq: int, limit: int = MAX_READ
    ) -> list[AppLine]:
        """See `LogTelemetry.read_source`."""
        return await self._read(SELECT_OF_SOURCE, deployment_id, limit, source_id=source_id, at=at, after_seq=after_seq)

    async def trim(self, deployment_id: str, max_bytes: int) -> bool:
        """See `LogTelemetry.trim`."""
        values = {"deployment_id": deployment_id}
        sizes = await self._readers.next().run(lambda connection: connection.execute(SELECT_SIZES, values).fetchall())
        before = trim_before(sizes, max_bytes)
        return bool(before) and await self._delete_lines(deployment_id, before)

    async def delete(self, deployment_id: str) -> None:
        """See `LogTelemetry.delete`."""
        await self._writer.execute(_DELETE_SOURCES, (deployment_id,))
        await self._delete_lines(deployment_id, _END_OF_TIME)

    async def delete_before(self, at: int) -> None:
        """See `LogTelemetry.delete_before`."""
        found = await self._readers.next().run(lambda connection: connection.execute(_SELECT_DEPLOYMENTS).fetchall())
        for (deployment_id,) in found:
            await self._delete_lines(deployment_id, at)
        await self._writer.execute(_DELETE_OLD_SOURCES, (at,))

    async def _read(self, statement: str, deployment_id: str, limit: int, **values: int | str) -> list[AppLine]:
        if not 1 <= limit <= MAX_READ:
            raise ValueError(f"limit={limit}: 1..{MAX_READ}")
        bound = {**values, "deployment_id": deployment_id, "rows": limit}
        rows = await self._readers.next().run(
            lambda connection: connection.execute(f"{statement} LIMIT :rows", bound).fetchall()
        )
        return [app_line_of(LineRow(*row)) for row in rows]

    async def _delete_lines(self, deployment_id: str, before: int) -> bool:
        deleted = await self._writer.delete_in_batches(_DELETE_LINES, (deployment_id, before))
        if deleted:
            await self._writer.shrink()
        return deleted > 0


def _append(connection: sqlite3.Connection, batches: Sequence[SourceLines]) -> None:
    with schema.transaction(connection):
        for batch in batches:
            row = source_row_of(batch)
            found = connection.execute(_SELECT_HEAD, (row.deployment_id, row.source_id)).fetchone()
            head = found[0] if found else 0
            rows = line_rows_of(batch)
            connection.executemany(_INSERT_LINE, [each for each in rows if each.seq > head])
            connection.execute(_UPSERT_SOURCE, row)
