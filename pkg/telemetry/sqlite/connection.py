"""A connection to the telemetry file with its own thread."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from pkg.errors import Unavailable
from pkg.telemetry.sqlite import schema
from pkg.telemetry.sqlite.damage import is_damage, locked, set_aside

T = TypeVar("T")
DELETED_AT_ONCE = 5000


class ThreadConnection:
    """One connection and the one thread that may use it; connects again when another file lies at the path."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._is_closed = False

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `fn` with the connection, again with a new file's one if the file turns out to be damaged.

        Raises:
            Unavailable: `telemetry.unavailable`.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._call, fn)

    async def execute(self, statement: str, values: Sequence[int | str]) -> int:
        """Runs one statement that changes rows, in a transaction; how many rows."""

        def change(connection: sqlite3.Connection) -> int:
            with schema.transaction(connection):
                return connection.execute(statement, values).rowcount

        return await self.run(change)

    async def delete_in_batches(self, statement: str, values: Sequence[int | str]) -> int:
        """Runs a DELETE with a LIMIT, its last parameter, until nothing is left to delete; how many rows that were.

        Each batch of DELETED_AT_ONCE rows is a transaction: others write in between.
        """
        total = 0
        while count := await self.execute(statement, (*values, DELETED_AT_ONCE)):
            total += count
        return total

    async def shrink(self) -> None:
        """Gives the space of deleted rows back to the file system."""
        # execute() would take one step of this statement, which is one page
        await self.run(lambda connection: connection.executescript("PRAGMA incremental_vacuum"))

    def _call(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        try:
            try:
                return fn(self._connected())
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                why = str(error)
            # not in the handler above: its error holds statements, and these the locks of the damaged file
            self._replace(why)
            return fn(self._connected())
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(
                "telemetry.unavailable",
                f"the store of build logs, {self._path}, does not answer right now ({error}): is its disk full? Try"
                " again",
            ) from error

    def _connected(self) -> sqlite3.Connection:
        file = _identity(self._path)
        if self._connection is None or file is None or file != self._file:
            # SQLite continues to write to a file that was moved or deleted, where no other process reads it
            self._close()
            with locked(self._path):
                if why := schema.damage(self._path):
                    set_aside(self._path, why)
                    schema.create(self._path)
                self._connection = schema.connect(self._path)
                self._file = _identity(self._path)
        return self._connection

    def _replace(self, why: str) -> None:
        """The file in use is damaged: set aside, unless another process has done it."""
        self._close()
        with locked(self._path):
            if _identity(self._path) == self._file:
                set_aside(self._path, why)

    def close(self) -> None:
        """Closes the connection and ends the thread; blocks until calls under way have finished. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._executor.submit(self._close)
        self._executor.shutdown(wait=True)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class ReaderPool:
    """Connections that read, in turn."""

    def __init__(self, readers: Sequence[ThreadConnection]) -> None:
        self._readers = readers
        self._turn = 0

    def next(self) -> ThreadConnection:
        """The one whose turn it is."""
        self._turn = (self._turn + 1) % len(self._readers)
        return self._readers[self._turn]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
