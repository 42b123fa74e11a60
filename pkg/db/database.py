"""The database as the services use it: whole transactions in threads of their own, and a notifier of commits."""

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError

from pkg.db import faults, migrate
from pkg.db.commits import CommitNotifier, CommitWatcher
from pkg.db.commits.sqlite import SqliteWatcher
from pkg.db.engine import READ_THREADS, create_engine
from pkg.lifecycle.threads import close_in_thread

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """One database, used from one event loop.

    Reads run in up to four threads, writes in one: a process never waits for its own write lock. A call that is
    cancelled does not stop its transaction: it commits or rolls back as a whole in its thread.

    Attributes:
        commits: wakes those who wait for a commit, of any process.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._readers = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="db-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="db-write")
        self._watcher = _watcher(engine)
        self.commits = CommitNotifier(self._watcher)

    @classmethod
    def open(cls, url: str) -> "Database":
        """A database by its SQLAlchemy URL. Connects lazily."""
        return cls(create_engine(url))

    @property
    def path(self) -> str | None:
        """Of the SQLite file; None for other databases."""
        return self._engine.url.database if self._engine.dialect.name == "sqlite" else None

    async def check_reads(self) -> None:
        """Raises when a statement can't be run now. Reads nothing."""
        await self.read(_select_one)

    async def check_writes(self) -> None:
        """Raises if no write transaction can begin now, or if the disk is full. Writes nothing."""
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
        self.commits.notify()
        return result

    async def close(self) -> None:
        """Ends the threads after their transactions, and the connections."""
        await self.commits.close()

        def shut() -> None:
            self._readers.shutdown(wait=True)
            self._writer.shutdown(wait=True)
            self._engine.dispose()

        await close_in_thread(shut)

    def _read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with (
            self._errors_classified(),
            self._engine.connect().execution_options(sealift_read_only=True) as connection,
            connection.begin(),
        ):
            return fn(connection, *args, **kwargs)

    def _write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._errors_classified(), self._engine.connect() as connection, connection.begin():
            result = fn(connection, *args, **kwargs)
            self._watcher.announce(connection)
            return result

    def _migrate(self) -> None:
        with self._errors_classified():
            migrate.upgrade(self._engine)

    @contextlib.contextmanager
    def _errors_classified(self) -> Iterator[None]:
        """Raises a full disk and a damaged file as errors that name the path."""
        try:
            yield
        except DatabaseError as error:
            found = faults.classified(error, self.path)
            if found is error:
                raise
            raise found from error


def _watcher(engine: Engine) -> CommitWatcher:
    if engine.dialect.name == "sqlite":
        return SqliteWatcher(engine.url.database)
    from pkg.db.commits.postgresql import PostgresqlWatcher  # the driver is large, and few installations need it

    return PostgresqlWatcher(engine.url.set(drivername="postgresql").render_as_string(hide_password=False))


def _select_one(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))
