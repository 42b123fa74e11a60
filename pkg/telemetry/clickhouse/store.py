"""The ClickHouse adapter: rows are added in batches, and a reader chooses among those that are there twice."""

import time
from collections.abc import Sequence

from pkg.telemetry.access import AccessRecord
from pkg.telemetry.access_sql import AccessRow, access_row_of, record_of
from pkg.telemetry.clickhouse import schema
from pkg.telemetry.clickhouse.connection import TIMEOUT_S, Connection, ServerAccess
from pkg.telemetry.clickhouse.logs import ClickHouseLogs
from pkg.telemetry.clickhouse.usage import ClickHouseUsage
from pkg.telemetry.events import BuildEvent
from pkg.telemetry.polling import PolledChanges
from pkg.telemetry.port import MAX_READ, MAX_READ_ACCESS
from pkg.telemetry.sql import SELECT_EVENTS, SELECT_OLD, Row, events_of, row_of

POLL_S = 0.1
# The version of the table is that of its newest rows, so that asking for it reads few of them, however large it is.
NEWEST_S = 300
# How much earlier than the newest row one may be stamped that becomes visible after it.
LATE_S = 60
DELETED_AT_ONCE = 200


class ClickHouseTelemetry:
    """`port.Telemetry` in a ClickHouse server. The database and its tables are made at the first use when missing.

    Args:
        access: which server, and as whom.
        timeout_s: of one call, in seconds.

    Attributes:
        builds: see `Telemetry.builds`.
        logs: see `Telemetry.logs`.
        access: see `Telemetry.access`.
        usage: see `Telemetry.usage`.
        changes: see `Telemetry.changes`.
    """

    def __init__(self, access: ServerAccess, timeout_s: float = TIMEOUT_S) -> None:
        self._connection = Connection(access, timeout_s)
        self.builds = ClickHouseBuilds(self._connection)
        self.logs = ClickHouseLogs(self._connection)
        self.access = ClickHouseAccess(self._connection)
        self.usage = ClickHouseUsage(self._connection)
        self.changes = PolledChanges(TableVersion(self._connection).read, POLL_S)

    async def check(self) -> None:
        """See `Telemetry.check`."""
        await self.builds.read("", limit=1)

    async def close(self) -> None:
        """See `Telemetry.close`."""
        await self._connection.close()


class ClickHouseBuilds:
    """`port.BuildTelemetry` in one table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def append(self, build_id: str, events: Sequence[BuildEvent]) -> None:
        """See `BuildTelemetry.append`. A call that failed may be stored later, when the server works again."""
        if events:
            await self._connection.insert(schema.BUILD_EVENTS, [(build_id, *row_of(event)) for event in events])

    async def read(self, build_id: str, after_seq: int = 0, limit: int = MAX_READ) -> list[BuildEvent]:
        """See `BuildTelemetry.read`."""
        if not 1 <= limit <= MAX_READ:
            raise ValueError(f"limit={limit}: 1..{MAX_READ}")
        events: list[BuildEvent] = []
        while True:
            # rows of one number may be cut apart here: the first ones are the ones that count
            wanted = limit - len(events)
            rows = await self._connection.select(
                Row, SELECT_EVENTS, build_id=build_id, after_seq=after_seq, rows=wanted
            )
            events += events_of(rows)
            if len(rows) < wanted or len(events) == limit:
                return events
            after_seq = events[-1].seq

    async def delete(self, build_id: str) -> None:
        """See `BuildTelemetry.delete`."""
        await self._connection.execute(schema.DELETE_BUILDS, build_ids=[build_id])

    async def delete_before(self, at: int) -> int:
        """See `BuildTelemetry.delete_before`."""
        old = [build_id for (build_id,) in await self._connection.select(tuple[str], SELECT_OLD, before=at)]
        for first in range(0, len(old), DELETED_AT_ONCE):
            await self._connection.execute(schema.DELETE_BUILDS, build_ids=old[first : first + DELETED_AT_ONCE])
        return len(old)


class ClickHouseAccess:
    """`port.AccessTelemetry` in one table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def store(self, records: Sequence[AccessRecord]) -> None:
        """See `AccessTelemetry.store`. A call that failed may be stored later, when the server works again."""
        if records:
            await self._connection.insert(schema.ACCESS_FIGURES, [access_row_of(record) for record in records])

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
        rows = await self._connection.select(
            AccessRow,
            schema.SELECT_ACCESS,
            project_id=project_id,
            step_s=step_s,
            since=since,
            until=until,
            deployment_id=deployment_id,
            rows=limit,
        )
        return [record_of(row) for row in rows]

    async def delete(self, project_id: str, deployment_id: str = "") -> None:
        """See `AccessTelemetry.delete`."""
        values = {"project_id": project_id, "deployment_id": deployment_id}
        # a DELETE rewrites parts, also for nothing
        if await self._connection.select(tuple[int], schema.SELECT_ANY_ACCESS, **values):
            await self._connection.execute(schema.DELETE_ACCESS_OF, **values)

    async def delete_before(self, step_s: int, at: int) -> None:
        """See `AccessTelemetry.delete_before`."""
        # a DELETE rewrites parts, also for nothing
        if await self._connection.select(tuple[int], schema.SELECT_OLD_ACCESS, step_s=step_s, at=at):
            await self._connection.execute(schema.DELETE_ACCESS, step_s=step_s, at=at)


class TableVersion:
    """Of the table, by the number and the time of its newest rows; merges may change it, too."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._since = 0
        self._moves_at = float("-inf")

    async def read(self) -> tuple[int, int, int]:
        """The version now. It differs every NEWEST_S although nothing was stored, and never stays after a store."""
        if time.monotonic() >= self._moves_at:
            ((now,),) = await self._connection.select(tuple[int], schema.SELECT_NOW)
            self._since = now - LATE_S * 1_000_000
            self._moves_at = time.monotonic() + NEWEST_S
        ((count, newest),) = await self._connection.select(tuple[int, int], schema.SELECT_VERSION, since=self._since)
        return self._since, count, newest
