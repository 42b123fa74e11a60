"""Sees commits to a SQLite file: `PRAGMA data_version` changes when another connection commits."""

import asyncio
import logging
import sqlite3
import time
from pathlib import Path

from sqlalchemy import Connection

POLL_S = 0.02  # PRAGMA data_version costs microseconds; polled only while someone waits
# A commit seldom comes alone: in a deploy a dozen follow each other, and each is waited for by someone.
BUSY_POLL_S = 0.004
BUSY_S = 1.0

log = logging.getLogger(__name__)


class SqliteWatcher:
    """Polls `data_version` on a separate connection, which writes nothing; see `CommitWatcher`."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._version = 0
        self._has_failed = False
        self._committed_at = 0.0

    async def next_commit(self) -> None:
        """Returns at the first successful poll, too: what happened before it is not known."""
        while not self._has_changed():
            is_busy = time.monotonic() - self._committed_at < BUSY_S
            await asyncio.sleep(BUSY_POLL_S if is_busy else POLL_S)
        self._committed_at = time.monotonic()

    def announce(self, connection: Connection) -> None:
        """Only polls more often for a while: other processes see the commit in the file."""
        del connection
        self._committed_at = time.monotonic()

    def pause(self) -> None:
        """Keeps the connection: its version shows later whether there was a commit in between."""

    def close(self) -> None:
        """Closes the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _has_changed(self) -> bool:
        if self._path is None or not Path(self._path).exists():
            return False
        try:
            is_first = self._connection is None
            version = self._data_version(self._path)
        except sqlite3.Error as error:
            # those who wait read again after a while anyway; the first poll that works counts as a commit
            if not self._has_failed:
                log.warning("commits of other processes cannot be seen for now: %s", error)
            self._has_failed = True
            self.close()
            return False
        self._has_failed = False
        has_changed = is_first or version != self._version
        self._version = version
        return has_changed

    def _data_version(self, path: str) -> int:
        if self._connection is None:
            # no waiting for locks: this is the event loop's thread
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
