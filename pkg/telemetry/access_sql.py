"""What every SQL store has in common for access figures: the columns of the table `access_figures`, statements, rows.

As in `sql`, the statement uses only what SQLite and ClickHouse both know.
"""

from typing import NamedTuple

from pkg.access import AccessFigures, Answers
from pkg.access.latency import from_text, to_text
from pkg.telemetry.access import AccessRecord


class AccessRow(NamedTuple):
    """The columns. The first seven identify a record."""

    project_id: str
    step_s: int
    at: int
    deployment_id: str
    region: str
    writer: str
    part: int
    revision: int
    counted_until: int
    is_incomplete: int
    app_1xx: int
    app_2xx: int
    app_3xx: int
    app_4xx: int
    app_5xx: int
    ingress_1xx: int
    ingress_2xx: int
    ingress_3xx: int
    ingress_4xx: int
    ingress_5xx: int
    unanswered: int
    bytes_in: int
    bytes_out: int
    latencies: str


ACCESS_COLUMNS = AccessRow._fields
KEY_COLUMNS = ACCESS_COLUMNS[:7]

# A table may hold a record in several revisions: each store adds how it takes the first of them, and at most `:rows`.
SELECT_ACCESS = f"""
SELECT {", ".join(ACCESS_COLUMNS)} FROM access_figures
WHERE project_id = :project_id AND step_s = :step_s AND at >= :since AND at < :until
  AND (:deployment_id = '' OR deployment_id = :deployment_id)
ORDER BY {", ".join(KEY_COLUMNS)}, revision DESC
"""  # noqa: S608 - of constants


def access_row_of(record: AccessRecord) -> AccessRow:
    """A record's row."""
    figures = record.figures
    return AccessRow(
        record.project_id,
        record.step_s,
        record.at,
        record.deployment_id,
        record.region,
        record.writer,
        record.part,
        record.revision,
        record.counted_until,
        int(record.is_incomplete),
        *figures.app,
        *figures.ingress,
        figures.unanswered,
        figures.bytes_in,
        figures.bytes_out,
        to_text(figures.latencies),
    )


def record_of(row: AccessRow) -> AccessRecord:
    """The record of a row."""
    app, ingress = Answers(*row[10:15]), Answers(*row[15:20])
    figures = AccessFigures(app, ingress, row.unanswered, row.bytes_in, row.bytes_out, from_text(row.latencies))
    return AccessRecord(*row[:9], is_incomplete=bool(row.is_incomplete), figures=figures)
