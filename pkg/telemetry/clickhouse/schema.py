"""The table of build events in ClickHouse, made and brought up to date when a store is opened.

Rows are only added. The engine's merges drop rows that were stored twice and those of a replaced attempt, which saves
space; readers do not rely on it (`pkg.telemetry.sql.events_of`).
"""

from pkg.telemetry.sql import COLUMNS

# What the statements here are tested with; older servers don't know all of them.
MIN_VERSION = "24"
# Days that rows outlive the worker's clean-up, which removes builds as a whole: for tables that no worker cleans.
TTL_MARGIN_DAYS = 2

SELECT_DATABASE = "SELECT name FROM system.databases WHERE name = :database"
CREATE_DATABASE = "CREATE DATABASE IF NOT EXISTS `{database}`"
# stored_at is the server's clock: neither a writer's clock nor an event's time decides when rows end.
CREATE_TABLE = """
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
MODIFY_TTL = "ALTER TABLE build_events MODIFY TTL {ttl} SETTINGS materialize_ttl_after_modify = 0"
SELECT_TABLE = """
SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'build_events'
"""
SELECT_COLUMNS = """
SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'build_events'
"""
INSERT_COLUMNS = ("build_id", *COLUMNS)

DELETE_BUILDS = "DELETE FROM build_events WHERE build_id IN :build_ids"
SELECT_NOW = "SELECT toUnixTimestamp64Micro(now64(6))"
SELECT_VERSION = """
SELECT count(), toUnixTimestamp64Micro(max(stored_at)) FROM build_events
WHERE stored_at >= fromUnixTimestamp64Micro(:since)
"""


def ttl(retention_days: int) -> str:
    """When rows end that no worker has removed."""
    return f"toDateTime(stored_at) + toIntervalDay({retention_days + TTL_MARGIN_DAYS})"
