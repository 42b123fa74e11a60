"""Lines of apps in ClickHouse: two tables to which rows are added."""

from collections.abc import Sequence

from pkg.telemetry.app_lines import AppLine, LineKey, SourceHead, SourceLines
from pkg.telemetry.app_lines_sql import (
    SELECT_SIZES,
    LineRow,
    SourceRow,
    app_line_of,
    head_of,
    line_rows_of,
    source_row_of,
    trim_before,
)
from pkg.telemetry.clickhouse import schema
from pkg.telemetry.clickhouse.connection import Connection
from pkg.telemetry.port import MAX_READ


class ClickHouseLogs:
    """`port.LogTelemetry` in two tables."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def append(self, batches: Sequence[SourceLines]) -> None:
        """See `LogTelemetry.append`. A call that failed may be stored later, when the server works again."""
        if lines := [row for batch in batches for row in line_rows_of(batch)]:
            await self._connection.insert(schema.LOG_LINES, lines)
        if batches:  # after the lines: a head never promises more than there is
            await self._connection.insert(schema.LOG_SOURCES, [source_row_of(batch) for batch in batches])

    async def heads(self, deployment_id: str) -> list[SourceHead]:
        """See `LogTelemetry.heads`."""
        rows = await self._connection.select(SourceRow, schema.SELECT_SOURCES, deployment_id=deployment_id)
        return [head_of(row) for row in rows]

    async def read_by_time(self, deployment_id: str, after: LineKey, limit: int = MAX_READ) -> list[AppLine]:
        """See `LogTelemetry.read_by_time`."""
        return await self._read(
            schema.SELECT_LINES_BY_TIME,
            deployment_id,
            limit,
            at=after.at,
            after_source=after.source_id,
            after_seq=after.seq,
        )

    async def read_newest(
        self, deployment_id: str, since: int, *, source_id: str = "", limit: int = MAX_READ
    ) -> list[AppLine]:
        """See `LogTelemetry.read_newest`."""
        return (await self._read(schema.SELECT_NEWEST_LINES, deployment_id, limit, since=since, source_id=source_id))[
            ::-1
        ]

    async def read_source(
        self, deployment_id: str, source_id: str, at: int, after_seq: int, limit: int = MAX_READ
    ) -> list[AppLine]:
        """See `LogTelemetry.read_source`."""
        return await self._read(
            schema.SELECT_LINES_OF_SOURCE, deployment_id, limit, source_id=source_id, at=at, after_seq=after_seq
        )

    async def trim(self, deployment_id: str, max_bytes: int) -> bool:
        """See `LogTelemetry.trim`."""
        sizes = await self._connection.select(tuple[int, int], SELECT_SIZES, deployment_id=deployment_id)
        before = trim_before(sizes, max_bytes)
        if before:
            await self._connection.execute(schema.TRIM_LINES, deployment_id=deployment_id, at=before)
        return bool(before)

    async def delete(self, deployment_id: str) -> None:
        """See `LogTelemetry.delete`."""
        for statement in schema.DELETE_LOGS:
            await self._connection.execute(statement, deployment_id=deployment_id)

    async def delete_before(self, at: int) -> None:
        """See `LogTelemetry.delete_before`."""
        for found, delete in schema.DELETE_OLD_LOGS:
            # a DELETE rewrites parts, also for nothing
            if await self._connection.select(tuple[int], found, at=at):
                await self._connection.execute(delete, at=at)

    async def _read(self, statement: str, deployment_id: str, limit: int, **values: int | str) -> list[AppLine]:
        if not 1 <= limit <= MAX_READ:
            raise ValueError(f"limit={limit}: 1..{MAX_READ}")
        rows = await self._connection.select(LineRow, statement, deployment_id=deployment_id, rows=limit, **values)
        return [app_line_of(row) for row in rows]
