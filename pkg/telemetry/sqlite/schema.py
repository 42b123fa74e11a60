"""Tables, statements and row forms of the SQLite telemetry file."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from pkg.sqlite.wal import bound_wal, enter_wal
from pkg.telemetry.access_sql import ACCESS_COLUMNS, KEY_COLUMNS
from pkg.telemetry.access_sql import SELECT_ACCESS as SELECT_REVISIONS
from pkg.telemetry.app_lines_sql import LINE_COLUMNS, LINE_KEY, SOURCE_COLUMNS
from pkg.telemetry.sql import COLUMNS
from pkg.telemetry.sqlite.damage import DamagedError, check_kind, is_damage
from pkg.telemetry.usage_sql import USAGE_COLUMNS, USAGE_KEY

_TEXTS = {"project_id", "deployment_id", "region", "writer", "latencies", "source_id", "instance_id", "text", "resume"}


def _definitions(names: Sequence[str]) -> str:
    return ", ".join(f"{name} {'TEXT' if name in _TEXTS else 'INTEGER'} NOT NULL" for name in names)


_TABLES = f"""
CREATE TABLE IF NOT EXISTS build_heads (
  build_id TEXT PRIMARY KEY, last_seq INTEGER NOT NULL, attempt INTEGER NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS build_events (
  build_id TEXT NOT NULL, seq INTEGER NOT NULL, attempt INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL,
  step_id TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL, started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL, error TEXT NOT NULL, PRIMARY KEY (build_id, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS access_figures (
  {_definitions(ACCESS_COLUMNS)},
  PRIMARY KEY ({", ".join(KEY_COLUMNS)})
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS access_figures_age ON access_figures (step_s, at);
CREATE TABLE IF NOT EXISTS log_lines (
  {_definitions(LINE_COLUMNS)}, PRIMARY KEY ({", ".join(LINE_KEY)})
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log_sources (
  {_definitions(SOURCE_COLUMNS)}, PRIMARY KEY (deployment_id, source_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS usage_figures (
  {_definitions(USAGE_COLUMNS)}, PRIMARY KEY ({", ".join(USAGE_KEY)})
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS usage_figures_age ON usage_figures (step_s, at);
"""
# Opening holds a lock of all processes: it must not wait long for a file that others have locked.
OPEN_TIMEOUT_S = 1.0
_COLUMNS = {
    "build_heads": ["build_id", "last_seq", "attempt", "at"],
    "build_events": ["build_id", *COLUMNS],
    "access_figures": list(ACCESS_COLUMNS),
    "log_lines": list(LINE_COLUMNS),
    "log_sources": list(SOURCE_COLUMNS),
    "usage_figures": list(USAGE_COLUMNS),
}
UPSERT_EVENT = """
INSERT INTO build_events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (build_id, seq) DO UPDATE SET attempt = excluded.attempt, at = excluded.at, kind = excluded.kind,
  step_id = excluded.step_id, number = excluded.number, text = excluded.text, started_at = excluded.started_at,
  ended_at = excluded.ended_at, error = excluded.error WHERE excluded.attempt >= attempt
"""
UPSERT_HEAD = """
INSERT INTO build_heads VALUES (?, ?, ?, ?)
ON CONFLICT (build_id) DO UPDATE SET last_seq = max(last_seq, excluded.last_seq),
  attempt = max(attempt, excluded.attempt), at = max(at, excluded.at)
"""
UPSERT_ACCESS = f"""
INSERT INTO access_figures VALUES ({", ".join("?" * len(ACCESS_COLUMNS))})
ON CONFLICT ({", ".join(KEY_COLUMNS)}) DO UPDATE SET
  {", ".join(f"{name} = excluded.{name}" for name in ACCESS_COLUMNS[len(KEY_COLUMNS) :])}
WHERE excluded.revision >= revision
"""  # noqa: S608 - of constants
SELECT_ACCESS = f"{SELECT_REVISIONS} LIMIT :rows"  # the table keeps one revision
DELETE_ACCESS = """
DELETE FROM access_figures WHERE (project_id, step_s, at, deployment_id, region, writer, part) IN (
  SELECT project_id, step_s, at, deployment_id, region, writer, part FROM access_figures
  WHERE step_s = ? AND at < ? LIMIT ?)
"""
DELETE_ACCESS_OF = """
DELETE FROM access_figures WHERE (project_id, step_s, at, deployment_id, region, writer, part) IN (
  SELECT project_id, step_s, at, deployment_id, region, writer, part FROM access_figures
  WHERE project_id = ? AND (? = '' OR deployment_id = ?) LIMIT ?)
"""
SELECT_OLD = "SELECT build_id FROM build_heads WHERE at < ? ORDER BY at"


def create(path: Path) -> None:
    """Makes the file (0600) and its tables when missing.

    Raises:
        DamagedError: what lies there is no file of ours.
        sqlite3.Error, OSError: it can't be opened or written now.
    """
    check_kind(path)
    with suppress(FileExistsError):  # SQLite would make it readable to all
        # Never an existing one: closing it would drop the locks of this process's other connections.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with closing(connect(path, OPEN_TIMEOUT_S)) as connection:
            found = _columns(connection)
            if not found:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before the first table
                enter_wal(connection, OPEN_TIMEOUT_S)
            if all(found.get(table, names) == names for table, names in _COLUMNS.items()) and found != _COLUMNS:
                with transaction(connection):
                    for statement in _TABLES.split(";"):
                        connection.execute(statement)
            if (found := _columns(connection)) != _COLUMNS:
                raise DamagedError(f"its tables are others: {found}")
    except sqlite3.Error as error:
        if is_damage(error):
            raise DamagedError(str(error)) from error
        raise


def damage(path: Path) -> str:
    """Why the file can't be used, "" when `create` made or found a good one. Raises sqlite3.Error and OSError as it."""
    try:
        create(path)
    except DamagedError as why:
        return str(why)
    return ""


def _columns(connection: sqlite3.Connection) -> dict[str, list[str]]:
    found = {
        table: [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall()]
        for table in _COLUMNS
    }
    return {table: names for table, names in found.items() if names}


def connect(path: Path, timeout_s: float = 10.0) -> sqlite3.Connection:
    """A connection for one thread. Commits are explicit."""
    connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        bound_wal(connection)
        connection.execute("PRAGMA schema_version")  # opens the files now
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: locked from the start, so that it waits for others and never fails half-way."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
