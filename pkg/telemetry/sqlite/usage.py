"""Usage of instances in the SQLite file."""

import sqlite3
from collections.abc import Sequence

from pkg.telemetry.port import MAX_READ_USAGE
from pkg.telemetry.sqlite import schema
from pkg.telemetry.sqlite.connection import ReaderPool, ThreadConnection
from pkg.telemetry.usage import UsageRecord
from pkg.telemetry.usage_sql import (
    SELECT_LATEST_USAGE,
    USAGE_COLUMNS,
    USAGE_KEY,
    UsageRow,
    usage_record_of,
    usage_row_of,
)

_KEY = ", ".join(USAGE_KEY)
_UPSERT = f"""
INSERT INTO usage_figures VALUES ({", ".join("?" * len(USAGE_COLUMNS))})
ON CONFLICT ({_KEY}) DO UPDATE SET
  {", ".join(f"{name} = excluded.{name}" for name in USAGE_COLUMNS[len(USAGE_KEY) :])}
WHERE excluded.seq >= seq
"""  # noqa: S608 - of constants
_DELETE = f"DELETE FROM usage_figures WHERE ({_KEY}) IN (SELECT {_KEY} FROM usage_figures WHERE"  # noqa: S608 - of constants
_DELETE_OLD = f"{_DELETE} step_s = ? AND at < ? LIMIT ?)"
_DELETE_OF = f"{_DELETE} project_id = ? AND (? = '' OR deployment_id = ?) LIMIT ?)"


class SqliteUsage:
    """`port.UsageTelemetry` on the connections of one file."""

    def __init__(self, writer: ThreadConnection, readers: ReaderPool) -> None:
        self._writer = writer
        self._readers = readers

    async def store(self, records: Sequence[UsageRecord]) -> None:
        """See `UsageTelemetry.store`. All or nothing."""
        if records:
            await self._writer.run(lambda connection: _store(connection, records))

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
        """See `UsageTelemetry.latest`."""
        values = {
            "project_id": project_id,
            "step_s": step_s,
            "before": before,
            "since": since,
            "deployment_id": deployment_id,
            "rows": limit,
        }
        rows = await self._readers.next().run(
            lambda connection: connection.execute(SELECT_LATEST_USAGE, values).fetchall()
        )
        return [usage_record_of(UsageRow(*row)) for row in rows]

    async def delete(self, project_id: str, deployment_id: str = "") -> None:
        """See `UsageTelemetry.delete`."""
        await self._writer.delete_in_batches(_DELETE_OF, (project_id, deployment_id, deployment_id))

    async def delete_before(self, step_s: int, at: int) -> None:
        """See `UsageTelemetry.delete_before`."""
        await self._writer.delete_in_batches(_DELETE_OLD, (step_s, at))
        await self._writer.shrink()


def _store(connection: sqlite3.Connection, records: Sequence[UsageRecord]) -> None:
    with schema.transaction(connection):
        connection.executemany(_UPSERT, [usage_row_of(record) for record in records])
