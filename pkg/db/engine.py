"""SQLAlchemy engines whose SQLite transactions are safe with several processes.

SQLite: WAL, synchronous=FULL (Restate has fsynced "step done" by the time it goes on, so the row must be on disk, too),
busy_timeout 10 s, and every write transaction begins IMMEDIATE: a deferred one that reads and then writes fails at once
with "database is locked", whatever the busy_timeout.
"""

import sqlite3

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import QueuePool

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "foreign_keys=ON")
READ_THREADS = 4
_POOL_SIZE = READ_THREADS + 2  # the writer, and the watcher of data_version


def create_engine(url: str) -> Engine:
    """An engine for "sqlite:////path" or "postgresql+psycopg://…". Opens no connection yet."""
    engine = sqlalchemy.create_engine(url, poolclass=QueuePool, pool_size=_POOL_SIZE, max_overflow=0, pool_timeout=30)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not send a BEGIN of its own
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("sealift_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
