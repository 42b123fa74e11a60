"""Usage of instances in ClickHouse: one table to which rows are added."""

from collections.abc import Sequence

from pkg.telemetry.clickhouse import schema
from pkg.telemetry.clickhouse.connection import Connection
from pkg.telemetry.port import MAX_READ_USAGE
from pkg.telemetry.usage import UsageRecord
from pkg.telemetry.usage_sql import SELECT_LATEST_USAGE, UsageRow, usage_record_of, usage_row_of


class ClickHouseUsage:
    """`port.UsageTelemetry` in one table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def store(self, records: Sequence[UsageRecord]) -> None:
        """See `UsageTelemetry.store`. A call that failed may be stored later, when the server works again."""
        if records:
            await self._connection.insert(schema.USAGE_FIGURES, [usage_row_of(record) for record in records])

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
        rows = await self._connection.select(
            UsageRow,
            SELECT_LATEST_USAGE,
            project_id=project_id,
            step_s=step_s,
            before=before,
            since=since,
            deployment_id=deployment_id,
            rows=limit,
        )
        return [usage_record_of(row) for row in rows]

    async def delete(self, project_id: str, deployment_id: str = "") -> None:
        """See `UsageTelemetry.delete`."""
        values = {"project_id": project_id, "deployment_id": deployment_id}
        # a DELETE rewrites parts, also for nothing
        if await self._connection.select(tuple[int], schema.SELECT_ANY_USAGE, **values):
            await self._connection.execute(schema.DELETE_USAGE_OF, **values)

    async def delete_before(self, step_s: int, at: int) -> None:
        """See `UsageTelemetry.delete_before`."""
        # a DELETE rewrites parts, also for nothing
        if await self._connection.select(tuple[int], schema.SELECT_OLD_USAGE, step_s=step_s, at=at):
            await self._connection.execute(schema.DELETE_USAGE, step_s=step_s, at=at)
