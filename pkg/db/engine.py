"""SQLAlchemy engines whose SQLite transactions are safe with several processes.

SQLite: WAL, synchronous=FULL (Restate has fsynced "step done" by the time it goes on, so the row must be on disk, too),
busy_timeout 10 s, and every write transaction begins IMMEDIATE: a deferred one that reads and then writes fails at once
with "database is locked", whatever the busy_timeout. Its file is 0600.
"""

import contextlib
import os
import sqlite3
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import QueuePool

from pkg.sqlite.wal import enter_wal

_PRAGMAS = ("busy_timeout=10000", "synchronous=FULL", "foreign_keys=ON")
READ_THREADS = 4
_POOL_SIZE = READ_THREADS + 2  # the writer, and the watcher of data_version


def create_engine(url: str) -> Engine:
    """An engine for "sqlite:////path" or "postgresql+psycopg://…". Opens no connection yet."""
    engine = sqlalchemy.create_engine(url, poolclass=QueuePool, pool_size=_POOL_SIZE, max_overflow=0, pool_timeout=30)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "do_connect", _before_connect)
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
    return engine


def _before_connect(_dialect: object, _record: object, arguments: list[str], _options: object) -> None:
    """Keeps the file from others; its -wal and -shm get the same mode. SQLite says what is wrong with the path."""
    path = Path(arguments[0])
    with contextlib.suppress(OSError):
        try:
            # Never an existing one: closing it would drop the locks of this process's other connections.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            path.chmod(0o600)


def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not send a BEGIN of its own
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    enter_wal(connection)


def _on_begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("sealift_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
