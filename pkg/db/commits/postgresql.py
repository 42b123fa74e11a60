"""Sees commits to a PostgreSQL database: each writing transaction ends with a NOTIFY, which others LISTEN for."""

import asyncio
import logging

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, text

from pkg.db.engine import POSTGRESQL_CONNECTION
from pkg.ids import new_id

CHANNEL = "sealift_commits"
RETRY_S = 1.0

log = logging.getLogger(__name__)

# A transaction that has written nothing has no id; telling others of it would make two processes wake each other.
_NOTIFY = text("SELECT pg_notify(:channel, :sender) WHERE pg_current_xact_id_if_assigned() IS NOT NULL")


class PostgresqlWatcher:
    """Listens on a separate connection while someone waits; see `CommitWatcher`."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = make_conninfo(conninfo, **POSTGRESQL_CONNECTION)
        self._sender = new_id("inst")  # own commits are not other people's
        self._connection: psycopg.AsyncConnection | None = None
        self._has_failed = False

    async def next_commit(self) -> None:
        """Returns once it listens, too: what happened before is not known."""
        while True:
            try:
                if self._connection is None:
                    self._connection = await self._listening()
                    self._has_failed = False
                    return
                async for notice in self._connection.notifies():
                    if notice.payload != self._sender:
                        return
            except (psycopg.Error, OSError) as error:
                if not self._has_failed:
                    log.warning("commits of other processes cannot be seen for now: %s", error)
                self._has_failed = True
                self.close()
            await asyncio.sleep(RETRY_S)

    def announce(self, connection: Connection) -> None:
        """Sends a NOTIFY, delivered if and when the transaction commits."""
        connection.execute(_NOTIFY, {"channel": CHANNEL, "sender": self._sender})

    def pause(self) -> None:
        """Closes the connection: a listener that does not read would fill the server's queue."""
        self.close()

    def close(self) -> None:
        """Closes the connection without waiting for the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()

    async def _listening(self) -> psycopg.AsyncConnection:
        connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        try:
            await connection.execute(f"LISTEN {CHANNEL}")
        except BaseException:
            connection.pgconn.finish()
            raise
        return connection
