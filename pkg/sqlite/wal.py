"""SQLite's write-ahead log: entered by several processes at once, and bounded."""

import sqlite3
import time

# Four times what SQLite lets the log grow to by itself before it moves it into the file.
WAL_KEPT_BYTES = 16 << 20
_POLL_S = 0.01


def enter_wal(connection: sqlite3.Connection, timeout_s: float = 10.0) -> None:
    """Switch the file to WAL; waits for another connection that does so at this moment. Idempotent.

    busy_timeout does not cover this: of two connections that both hold a read lock and want to switch, SQLite tells
    one "database is locked" at once, because waiting would be a deadlock.

    Raises:
        sqlite3.OperationalError: the file cannot be switched, or is still locked after `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(_POLL_S)


def bound_wal(connection: sqlite3.Connection) -> None:
    """Lets writes through this connection cut a log that has grown, behind a long read such as a backup's.

    SQLite itself keeps the log as large as it once was for as long as anyone has the file open.
    """
    connection.execute(f"PRAGMA journal_size_limit={WAL_KEPT_BYTES}").close()
