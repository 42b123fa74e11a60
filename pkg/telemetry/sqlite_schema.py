"""Tables, statements and row forms of the SQLite telemetry file."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from pkg.db.wal import enter_wal
from pkg.telemetry.events import BuildEvent, BuildLine, BuildStep, LogStream, StepState

# (seq, attempt, at, kind, step_id, number, text, started_at, ended_at, error); number is the stream or the state
Row: TypeAlias = tuple[int, int, int, str, str, int, str, int, int, str]
LINE, STEP = "line", "step"

_TABLES = """
CREATE TABLE IF NOT EXISTS build_heads (
  build_id TEXT PRIMARY KEY, last_seq INTEGER NOT NULL, attempt INTEGER NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS build_events (
  build_id TEXT NOT NULL, seq INTEGER NOT NULL, attempt INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL,
  step_id TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL, started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL, error TEXT NOT NULL, PRIMARY KEY (build_id, seq)
) WITHOUT ROWID;
"""
SELECT_EVENTS = """
SELECT seq, attempt, at, kind, step_id, number, text, started_at, ended_at, error FROM build_events
WHERE build_id = ? AND seq > ? ORDER BY seq LIMIT ?
"""
INSERT_EVENT = "INSERT INTO build_events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
SELECT_HEAD = "SELECT last_seq, attempt FROM build_heads WHERE build_id = ?"
UPSERT_HEAD = """
INSERT INTO build_heads VALUES (?, ?, ?, ?)
ON CONFLICT (build_id) DO UPDATE SET last_seq = excluded.last_seq, attempt = excluded.attempt, at = excluded.at
"""
SELECT_OLD = "SELECT build_id FROM build_heads WHERE at < ? ORDER BY at"


def create(path: Path) -> None:
    """Makes the file (0600) and its tables when missing."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite would make it readable to all
    connection = connect(path)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before the first table
        enter_wal(connection)
        with transaction(connection):
            for statement in _TABLES.split(";"):
                connection.execute(statement)
    finally:
        connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """A connection for one thread. Commits are explicit."""
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: locked from the start, so that it waits for others and never fails half-way."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def row(build_id: str, seq: int, event: BuildEvent) -> tuple[str | int, ...]:
    """The values of INSERT_EVENT."""
    head = (build_id, seq, event.attempt, event.at)
    match event.event:
        case BuildLine(step_id, stream, text):
            return (*head, LINE, step_id, int(stream), text, 0, 0, "")
        case BuildStep(step_id, name, state, started_at, ended_at, error):
            return (*head, STEP, step_id, int(state), name, started_at, ended_at, error)


def event(row: Row) -> BuildEvent:
    """The event of a row of SELECT_EVENTS."""
    seq, attempt, at, kind, step_id, number, text, started_at, ended_at, error = row
    if kind == LINE:
        return BuildEvent(attempt, at, BuildLine(step_id, LogStream(number), text), seq)
    return BuildEvent(attempt, at, BuildStep(step_id, text, StepState(number), started_at, ended_at, error), seq)
