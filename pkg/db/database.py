"""The database as the services use it: whole transactions in threads of their own, and a bell for commits."""

import asyncio
import contextlib
import errno
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError

from pkg.db import faults, migrate
from pkg.db.engine import READ_THREADS, create_engine

P = ParamSpec("P")
T = TypeVar("T")

WATCH_INTERVAL_S = 0.02  # PRAGMA data_version costs microseconds; asked only while someone waits
# A commit seldom comes alone: in a deploy a dozen follow each other, and each is waited for by someone.
BUSY_INTERVAL_S = 0.004
BUSY_S = 1.0

log = logging.getLogger(__name__)


class Database:
    """One database, used from one event loop.

    Reads run in up to four threads, writes in one: a process never waits for its own write lock. A call that is
    cancelled does not stop its transaction: it commits or rolls back as a whole in its thread.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._readers = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="db-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="db-write")
        self._bell = _Bell(engine)

    @classmethod
    def open(cls, url: str) -> "Database":
        """A database by its SQLAlchemy URL. Connects lazily."""
        return cls(create_engine(url))

    @property
    def path(self) -> str | None:
        """Of the SQLite file; None for other databases."""
        return self._engine.url.database if self._engine.dialect.name == "sqlite" else None

    async def check_writes(self) -> None:
        """Raises when a transaction can't be begun for writing now, or its disk is full. Writes nothing."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._write, lambda _: None)
        if self.path is not None and faults.free_bytes(self.path) < faults.FULL_BELOW_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)

    @property
    def engine(self) -> Engine:
        """For migrations and tests."""
        return self._engine

    async def migrate(self) -> None:
        """Brings the schema to this version, under a lock that other processes wait for. Idempotent.

        Raises:
            DamagedError: the file is no database, or a damaged one.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writer, self._migrate)

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `fn(connection, …)` as one read-only transaction with one view of the data."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: self._read(fn, *args, **kwargs))

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `fn(connection, …)` as one transaction: committed when it returns, rolled back when it raises."""
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._writer, lambda: self._write(fn, *args, **kwargs))
        self._bell.ring()
        return result

    def position(self) -> int:
        """Where the sequence of commits stands now; for `changed`. Take it before reading what you will watch."""
        return self._bell.position

    async def changed(self, after: int, timeout_s: float) -> int:
        """Waits until someone, in any process, has committed since `after`; the new position, or `after` on timeout.

        May wake without a change that concerns the caller: read again, always.
        """
        return await self._bell.wait(after, timeout_s)

    async def close(self) -> None:
        """Ends the threads after their transactions, and the connections."""
        self._bell.close()
        loop = asyncio.get_running_loop()

        def shut() -> None:
            self._readers.shutdown(wait=True)
            self._writer.shutdown(wait=True)
            self._engine.dispose()

        with ThreadPoolExecutor(1) as closer:
            await loop.run_in_executor(closer, shut)

    def _read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with (
            self._told(),
            self._engine.connect().execution_options(sealift_read_only=True) as connection,
            connection.begin(),
        ):
            return fn(connection, *args, **kwargs)

    def _write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._told(), self._engine.connect() as connection, connection.begin():
            return fn(connection, *args, **kwargs)

    def _migrate(self) -> None:
        with self._told():
            migrate.upgrade(self._engine)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """A full disk and a damaged file are told with the path."""
        try:
            yield
        except DatabaseError as error:
            found = faults.better(error, self.path)
            if found is error:
                raise
            raise found from error


class _Bell:
    """Counts commits seen: our own at once, those of other processes by polling while someone waits.

    SQLite's data_version changes when another connection commits, so the poller's connection writes nothing.
    """

    def __init__(self, engine: Engine) -> None:
        self.position = 0
        self._path = engine.url.database if engine.dialect.name == "sqlite" else None
        self._connection: sqlite3.Connection | None = None
        self._version = 0
        self._is_blind = False
        self._waiters: set[asyncio.Future[None]] = set()
        self._poller: asyncio.Task[None] | None = None
        self._rung_at = 0.0

    def ring(self) -> None:
        self.position += 1
        self._rung_at = time.monotonic()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self, after: int, timeout_s: float) -> int:
        self._poll_others()
        if self.position > after:
            return self.position
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll(), name="db-bell")
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return after
        finally:
            self._waiters.discard(waiter)
        return self.position

    def close(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
        self._forget_connection()

    async def _poll(self) -> None:
        idle_since = time.monotonic()
        while self._waiters or time.monotonic() - idle_since < 1:
            now = time.monotonic()
            if self._waiters:
                idle_since = now
            await asyncio.sleep(BUSY_INTERVAL_S if now - self._rung_at < BUSY_S else WATCH_INTERVAL_S)
            self._poll_others()

    def _poll_others(self) -> None:
        if self._path is None or not Path(self._path).exists():
            return
        try:
            is_first = self._connection is None
            version = self._data_version(self._path)
        except sqlite3.Error as error:
            # whoever waits looks by himself after a while; the first look that works counts as a change
            if not self._is_blind:
                log.warning("commits of other processes cannot be seen for now: %s", error)
            self._is_blind = True
            self._forget_connection()
            return
        self._is_blind = False
        if is_first or version != self._version:  # what happened before the first look counts as a change
            self._version = version
            self.ring()

    def _data_version(self, path: str) -> int:
        if self._connection is None:
            # no waiting for locks: this is the event loop's thread
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _forget_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
