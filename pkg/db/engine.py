"""SQLAlchemy engines whose transactions are safe with several processes: one writes at a time, reads have one view.

SQLite: WAL, synchronous=FULL (Restate has fsynced "step done" before it continues, so the row must be on disk, too),
busy_timeout 10 s, and every write transaction begins IMMEDIATE: a deferred one that reads and then writes fails at once
with "database is locked", whatever the busy_timeout. Its file is 0600.

PostgreSQL: every write transaction takes one advisory lock first, waiting at most 10 s, so that what a transaction has
read still holds when it writes, as on SQLite (docs/adr/0033); reads are REPEATABLE READ.
"""

import contextlib
import os
import sqlite3
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import QueuePool

from pkg.sqlite.wal import bound_wal, enter_wal

_LOCK_TIMEOUT_MS = 10_000
_PRAGMAS = (f"busy_timeout={_LOCK_TIMEOUT_MS}", "synchronous=FULL", "foreign_keys=ON")
# Of every connection to PostgreSQL: a server whose machine or network vanished is noticed within a minute. The system's
# own limits are two hours for an idle connection and a quarter of an hour for one that waits for an answer.
POSTGRESQL_CONNECTION = {
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
_POSTGRESQL_OPTIONS = {**POSTGRESQL_CONNECTION, "options": f"-c lock_timeout={_LOCK_TIMEOUT_MS}"}
WRITE_LOCK = 7_204_119  # any number that nothing else in the database uses as an advisory lock
READ_THREADS = 4
_POOL_SIZE = READ_THREADS + 2  # the writer, and one for migrations


def create_engine(url: str) -> Engine:
    """An engine for "sqlite:////path" or "postgresql://user:password@host/name". Opens no connection yet."""
    is_sqlite = sqlalchemy.make_url(url).get_backend_name() == "sqlite"
    engine = sqlalchemy.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=30,
        hide_parameters=True,  # errors are logged, and these may be secrets
        pool_pre_ping=not is_sqlite,  # the server may have been restarted since
        connect_args={} if is_sqlite else _POSTGRESQL_OPTIONS,
    )
    if is_sqlite:
        event.listen(engine, "do_connect", _before_connect)
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
    else:
        event.listen(engine, "begin", _on_begin_postgresql)
    return engine


def _before_connect(_dialect: object, _record: object, arguments: list[str], _options: object) -> None:
    """Gives the file mode 0600, which its -wal and -shm take over. SQLite itself reports errors, naming the path."""
    path = Path(arguments[0])
    with contextlib.suppress(OSError):
        try:
            # Never an existing one: closing it would drop the locks of this process's other connections.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            path.chmod(0o600)


def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not send its own BEGIN
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    enter_wal(connection)
    bound_wal(connection)


def _on_begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("sealift_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _on_begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("sealift_read_only", False):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")
