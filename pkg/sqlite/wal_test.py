import sqlite3
import threading
from pathlib import Path

import pytest

from pkg.sqlite.wal import enter_wal


def test_connections_that_switch_at_once_all_succeed(tmp_path: Path) -> None:
    """Promise: api and worker may make the file of a new installation at the same moment."""
    for attempt in range(30):
        path = tmp_path / f"{attempt}.db"
        start = threading.Barrier(4)
        failed: list[Exception] = []

        def switch(path: Path = path, start: threading.Barrier = start, failed: list[Exception] = failed) -> None:
            connection = sqlite3.connect(path, isolation_level=None)
            start.wait(10)
            try:
                enter_wal(connection)
            except sqlite3.OperationalError as error:
                failed.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=switch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not failed


def test_what_waiting_cannot_mend_is_raised_and_waiting_ends(tmp_path: Path) -> None:
    """Promise: the wait for a locked file is bounded; for a file that is no database there is none."""
    path = tmp_path / "locked.db"
    holder, late = (sqlite3.connect(path, isolation_level=None, timeout=0) for _ in range(2))
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        enter_wal(late, timeout_s=0.05)
    holder.close()
    late.close()
    other = sqlite3.connect(tmp_path / "other.db", isolation_level=None)
    (tmp_path / "other.db").write_text("no database, " * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        enter_wal(other)
    other.close()
