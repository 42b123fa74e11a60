"""What every SQL store has in common for lines of apps: the tables `log_lines` and `log_sources`, statements, rows.

As in `sql`, the statements use only what SQLite and ClickHouse both know. A line may be there twice: each store adds
how it takes the first of them, and at most `:rows`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pkg.telemetry.app_lines import LINE_OVERHEAD_BYTES, AppLine, LogSource, SourceHead, SourceLines
from pkg.telemetry.events import LogStream

# What is deleted at once when a deployment has too much: lines of this time.
TRIM_STEP_MS = 10_000


class LineRow(NamedTuple):
    """The columns of `log_lines`. The first four identify a line."""

    deployment_id: str
    at: int
    source_id: str
    seq: int
    stream: int
    is_partial: int
    text: str


class SourceRow(NamedTuple):
    """The columns of `log_sources`. The first two identify a source; of its rows the highest seq counts."""

    deployment_id: str
    source_id: str
    instance_id: str
    region: str
    seq: int
    at: int
    resume: str


LINE_COLUMNS = LineRow._fields
LINE_KEY = LINE_COLUMNS[:4]
SOURCE_COLUMNS = SourceRow._fields

_SELECT = f"SELECT {', '.join(LINE_COLUMNS)} FROM log_lines WHERE deployment_id = :deployment_id"  # noqa: S608 - of constants
SELECT_BY_TIME = f"""
{_SELECT} AND (at, source_id, seq) > (:at, :after_source, :after_seq) ORDER BY at, source_id, seq
"""
SELECT_NEWEST = f"""
{_SELECT} AND at >= :since AND (:source_id = '' OR source_id = :source_id) ORDER BY at DESC, source_id DESC, seq DESC
"""
SELECT_OF_SOURCE = f"""
{_SELECT} AND at >= :at AND source_id = :source_id AND seq > :after_seq ORDER BY at, seq
"""
SELECT_SOURCES = f"""
SELECT {", ".join(SOURCE_COLUMNS)} FROM log_sources WHERE deployment_id = :deployment_id
ORDER BY source_id, seq DESC
"""  # noqa: S608 - of constants
SELECT_SIZES = f"""
SELECT at - at % {TRIM_STEP_MS} AS begin_at, sum(length(text) + {LINE_OVERHEAD_BYTES}) AS bytes FROM log_lines
WHERE deployment_id = :deployment_id GROUP BY begin_at ORDER BY begin_at DESC
"""  # noqa: S608 - of constants


def source_row_of(batch: SourceLines) -> SourceRow:
    """The row of a batch's source after it."""
    source = batch.source
    seq, at = (batch.lines[-1].seq, batch.lines[-1].at) if batch.lines else (0, 0)
    return SourceRow(source.deployment_id, source.source_id, source.instance_id, source.region, seq, at, batch.resume)


def line_rows_of(batch: SourceLines) -> list[LineRow]:
    """The rows of a batch's lines."""
    deployment_id = batch.source.deployment_id
    return [
        LineRow(deployment_id, line.at, line.source_id, line.seq, int(line.stream), int(line.is_partial), line.text)
        for line in batch.lines
    ]


def app_line_of(row: LineRow) -> AppLine:
    """The line of a row."""
    return AppLine(row.source_id, row.seq, row.at, LogStream(row.stream), row.text, is_partial=bool(row.is_partial))


def head_of(row: SourceRow) -> SourceHead:
    """The head of a row."""
    return SourceHead(LogSource(*row[:4]), row.seq, row.at, row.resume)


def trim_before(sizes: Sequence[tuple[int, int]], max_bytes: int) -> int:
    """Before which time lines go, so that those from then on are at most `max_bytes`; 0: none. The newest step stays.

    `sizes` are the begin and the bytes of each step that has lines, the newest first.
    """
    total = 0
    for number, (_, size) in enumerate(sizes):
        total += size
        if total > max_bytes and number:
            return sizes[number - 1][0]
    return 0
