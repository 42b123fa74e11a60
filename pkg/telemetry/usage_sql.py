"""What every SQL store has in common for usage: the columns of the table `usage_figures`, statements, rows.

As in `sql`, the statement uses only what SQLite and ClickHouse both know. A record may be there in several versions.
"""

from typing import NamedTuple

from pkg.telemetry.usage import UsageFigures, UsageRecord

UNKNOWN = -1


class UsageRow(NamedTuple):
    """The columns. The first six identify a record; UNKNOWN is None."""

    project_id: str
    step_s: int
    deployment_id: str
    source_id: str
    began_at: int
    at: int
    seq: int
    instance_id: str
    region: str
    measured_at: int
    cpu_millicores: int
    memory_bytes: int
    cpu_ns: int
    memory_byte_s: int
    measured_ms: int
    restarts: int
    network_rx_bytes: int
    network_tx_bytes: int
    disk_read_bytes: int
    disk_write_bytes: int


USAGE_COLUMNS = UsageRow._fields
USAGE_KEY = USAGE_COLUMNS[:6]
_SERIES = "deployment_id, source_id, began_at"

SELECT_LATEST_USAGE = f"""
SELECT {", ".join(USAGE_COLUMNS)} FROM (
  SELECT {", ".join(USAGE_COLUMNS)}, row_number() OVER (PARTITION BY {_SERIES} ORDER BY at DESC, seq DESC) AS place
  FROM usage_figures
  WHERE project_id = :project_id AND step_s = :step_s AND at >= :since AND at < :before
    AND (:deployment_id = '' OR deployment_id = :deployment_id)
) AS newest
WHERE place = 1 ORDER BY {_SERIES} LIMIT :rows
"""  # noqa: S608 - of constants


def usage_row_of(record: UsageRecord) -> UsageRow:
    """A record's row."""
    figures = record.figures
    return UsageRow(
        record.project_id,
        record.step_s,
        record.deployment_id,
        record.source_id,
        record.began_at,
        record.at,
        record.seq,
        record.instance_id,
        record.region,
        record.measured_at,
        UNKNOWN if record.cpu_millicores is None else record.cpu_millicores,
        record.memory_bytes,
        figures.cpu_ns,
        figures.memory_byte_s,
        figures.measured_ms,
        figures.restarts,
        *(UNKNOWN if one is None else one for one in figures.bytes_moved),
    )


def usage_record_of(row: UsageRow) -> UsageRecord:
    """The record of a row."""
    moved = (None if one == UNKNOWN else one for one in row[16:])
    figures = UsageFigures(row.cpu_ns, row.memory_byte_s, row.measured_ms, row.restarts, *moved)
    cpu_millicores = None if row.cpu_millicores == UNKNOWN else row.cpu_millicores
    return UsageRecord(*row[:10], cpu_millicores, row.memory_bytes, figures)
