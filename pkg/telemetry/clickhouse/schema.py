"""The tables in ClickHouse, made and brought up to date when a store is opened.

Rows are only added. The engine's merges drop rows that were stored twice, those of a replaced attempt and older
revisions, which saves space; readers do not rely on it (`pkg.telemetry.sql.events_of`, `SELECT_ACCESS`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pkg.telemetry.access_sql import ACCESS_COLUMNS, KEY_COLUMNS
from pkg.telemetry.access_sql import SELECT_ACCESS as SELECT_REVISIONS
from pkg.telemetry.app_lines_sql import (
    LINE_COLUMNS,
    LINE_KEY,
    SELECT_BY_TIME,
    SELECT_NEWEST,
    SELECT_OF_SOURCE,
    SOURCE_COLUMNS,
)
from pkg.telemetry.app_lines_sql import SELECT_SOURCES as SELECT_SOURCE_ROWS
from pkg.telemetry.port import MAX_LOG_DAYS
from pkg.telemetry.sql import COLUMNS
from pkg.telemetry.usage import DAY_S, USAGE_KEPT_MS
from pkg.telemetry.usage_sql import USAGE_COLUMNS, USAGE_KEY

# What the statements here are tested with; older servers don't know all of them.
MIN_VERSION = "24"
# Days that rows outlive the worker's clean-up: for tables that no worker cleans.
TTL_MARGIN_DAYS = 2
# Of access figures by the hour, which are kept longest.
ACCESS_DAYS = 30
# Of usage by the day, which is kept longest.
USAGE_DAYS = USAGE_KEPT_MS[DAY_S] // (DAY_S * 1000)


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: of the table.
        columns: that a row inserts, in order.
        create: the statement that makes it when missing, with `{ttl}`.
        ttl: when rows end that no worker has removed, by the days that build logs are kept.
    """

    name: str
    columns: tuple[str, ...]
    create: str
    ttl: Callable[[int], str]


SELECT_DATABASE = "SELECT name FROM system.databases WHERE name = :database"
CREATE_DATABASE = "CREATE DATABASE IF NOT EXISTS `{database}`"
# stored_at is the server's clock: neither a writer's clock nor an event's time decides when rows end.
_CREATE_BUILD_EVENTS = """
CREATE TABLE IF NOT EXISTS build_events (
  build_id String CODEC(ZSTD),
  seq Int64 CODEC(Delta, ZSTD),
  attempt Int32 CODEC(ZSTD),
  at Int64 CODEC(Delta, ZSTD),
  kind LowCardinality(String),
  step_id LowCardinality(String),
  number Int8,
  text String CODEC(ZSTD(3)),
  started_at Int64 CODEC(ZSTD),
  ended_at Int64 CODEC(ZSTD),
  error String CODEC(ZSTD),
  stored_at DateTime64(6) DEFAULT now64(6) CODEC(Delta, ZSTD),
  INDEX at_range at TYPE minmax GRANULARITY 1,
  INDEX stored_at_range stored_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(attempt)
PARTITION BY toMonday(stored_at)
ORDER BY (build_id, seq)
TTL {ttl}
SETTINGS ttl_only_drop_parts = 1
"""
_TEXTS = {"project_id", "deployment_id", "region", "writer", "latencies", "source_id", "instance_id", "text", "resume"}


def _definitions(names: Sequence[str]) -> str:
    return ", ".join(f"{name} {'String' if name in _TEXTS else 'Int64'} CODEC(ZSTD)" for name in names)


_CREATE_ACCESS_FIGURES = f"""
CREATE TABLE IF NOT EXISTS access_figures (
  {_definitions(ACCESS_COLUMNS)},
  stored_at DateTime64(6) DEFAULT now64(6) CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY (step_s, toMonday(stored_at))
ORDER BY ({", ".join(KEY_COLUMNS)})
TTL {{ttl}}
SETTINGS ttl_only_drop_parts = 1
"""
_CREATE_LOG_LINES = f"""
CREATE TABLE IF NOT EXISTS log_lines (
  {_definitions(LINE_COLUMNS)},
  stored_at DateTime64(6) DEFAULT now64(6) CODEC(Delta, ZSTD),
  INDEX at_range at TYPE minmax GRANULARITY 1,
  INDEX stored_at_range stored_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toMonday(stored_at)
ORDER BY ({", ".join(LINE_KEY)})
TTL {{ttl}}
SETTINGS ttl_only_drop_parts = 1
"""
_CREATE_LOG_SOURCES = f"""
CREATE TABLE IF NOT EXISTS log_sources (
  {_definitions(SOURCE_COLUMNS)},
  stored_at DateTime64(6) DEFAULT now64(6) CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(seq)
PARTITION BY toMonday(stored_at)
ORDER BY (deployment_id, source_id)
TTL {{ttl}}
SETTINGS ttl_only_drop_parts = 1
"""
_CREATE_USAGE_FIGURES = f"""
CREATE TABLE IF NOT EXISTS usage_figures (
  {_definitions(USAGE_COLUMNS)},
  stored_at DateTime64(6) DEFAULT now64(6) CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(seq)
PARTITION BY (step_s, toMonday(stored_at))
ORDER BY ({", ".join(USAGE_KEY)})
TTL {{ttl}}
SETTINGS ttl_only_drop_parts = 1
"""
MODIFY_TTL = "ALTER TABLE {table} MODIFY TTL {ttl} SETTINGS materialize_ttl_after_modify = 0"
SELECT_TABLE = "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = :table"
SELECT_COLUMNS = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = :table"

DELETE_BUILDS = "DELETE FROM build_events WHERE build_id IN :build_ids"
SELECT_ACCESS = f"{SELECT_REVISIONS} LIMIT 1 BY {', '.join(KEY_COLUMNS)} LIMIT :rows"
DELETE_ACCESS = "DELETE FROM access_figures WHERE step_s = :step_s AND at < :at"
_OF_PROJECT = "WHERE project_id = :project_id AND (:deployment_id = '' OR deployment_id = :deployment_id)"
SELECT_ANY_ACCESS = f"SELECT 1 FROM access_figures {_OF_PROJECT} LIMIT 1"  # noqa: S608 - of constants
DELETE_ACCESS_OF = f"DELETE FROM access_figures {_OF_PROJECT}"  # noqa: S608 - of constants
SELECT_OLD_ACCESS = "SELECT 1 FROM access_figures WHERE step_s = :step_s AND at < :at LIMIT 1"
DELETE_USAGE = "DELETE FROM usage_figures WHERE step_s = :step_s AND at < :at"
SELECT_ANY_USAGE = f"SELECT 1 FROM usage_figures {_OF_PROJECT} LIMIT 1"  # noqa: S608 - of constants
DELETE_USAGE_OF = f"DELETE FROM usage_figures {_OF_PROJECT}"  # noqa: S608 - of constants
SELECT_OLD_USAGE = "SELECT 1 FROM usage_figures WHERE step_s = :step_s AND at < :at LIMIT 1"
_LINES_ONCE = "LIMIT 1 BY source_id, seq LIMIT :rows"
SELECT_LINES_BY_TIME, SELECT_NEWEST_LINES, SELECT_LINES_OF_SOURCE = (
    f"{statement} {_LINES_ONCE}" for statement in (SELECT_BY_TIME, SELECT_NEWEST, SELECT_OF_SOURCE)
)
SELECT_SOURCES = f"{SELECT_SOURCE_ROWS} LIMIT 1 BY source_id"
TRIM_LINES = "DELETE FROM log_lines WHERE deployment_id = :deployment_id AND at < :at"
DELETE_LOGS = (
    "DELETE FROM log_sources WHERE deployment_id = :deployment_id",
    "DELETE FROM log_lines WHERE deployment_id = :deployment_id",
)
# Whether there is something to delete, and its deletion.
DELETE_OLD_LOGS = (
    ("SELECT 1 FROM log_lines WHERE at < :at LIMIT 1", "DELETE FROM log_lines WHERE at < :at"),
    ("SELECT 1 FROM log_sources WHERE at < :at LIMIT 1", "DELETE FROM log_sources WHERE at < :at"),
)
SELECT_NOW = "SELECT toUnixTimestamp64Micro(now64(6))"
SELECT_VERSION = """
SELECT sum(number), max(newest) FROM (
  SELECT count() AS number, toUnixTimestamp64Micro(max(stored_at)) AS newest FROM build_events
  WHERE stored_at >= fromUnixTimestamp64Micro(:since)
  UNION ALL
  SELECT count() AS number, toUnixTimestamp64Micro(max(stored_at)) AS newest FROM log_lines
  WHERE stored_at >= fromUnixTimestamp64Micro(:since)
)
"""


def _ttl(days: int) -> str:
    return f"toDateTime(stored_at) + toIntervalDay({days + TTL_MARGIN_DAYS})"


BUILD_EVENTS = Table("build_events", ("build_id", *COLUMNS), _CREATE_BUILD_EVENTS, _ttl)
ACCESS_FIGURES = Table("access_figures", ACCESS_COLUMNS, _CREATE_ACCESS_FIGURES, lambda _: _ttl(ACCESS_DAYS))
LOG_LINES = Table("log_lines", LINE_COLUMNS, _CREATE_LOG_LINES, lambda _: _ttl(MAX_LOG_DAYS))
LOG_SOURCES = Table("log_sources", SOURCE_COLUMNS, _CREATE_LOG_SOURCES, lambda _: _ttl(MAX_LOG_DAYS))
USAGE_FIGURES = Table("usage_figures", USAGE_COLUMNS, _CREATE_USAGE_FIGURES, lambda _: _ttl(USAGE_DAYS))
TABLES = (BUILD_EVENTS, ACCESS_FIGURES, LOG_LINES, LOG_SOURCES, USAGE_FIGURES)
