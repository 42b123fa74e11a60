"""The SQLite adapter: WAL, `synchronous=NORMAL` (a power loss may cost the last lines, never the file).

One thread writes, two read, one watches; each has its own connection. `PRAGMA data_version` tells one connection that
another one, of any process, has committed: it costs microseconds, so that waiting for news is a poll of 20 ms.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from pkg.errors import Aborted, Unavailable
from pkg.telemetry import sqlite_schema as schema
from pkg.telemetry.damage import is_damage, locked, set_aside
from pkg.telemetry.events import BuildEvent
from pkg.telemetry.port import MAX_READ

POLL_S = 0.02
READERS = 2

T = TypeVar("T")


class _Lane:
    """One connection and the one thread that may use it; connects again when another file lies at the path."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._call, fn)

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
            # SQLite goes on with a file that was set aside or deleted, where nobody else sees what is written
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
        self._executor.submit(self._close)
        self._executor.shutdown(wait=True)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


class SqliteTelemetry:
    """`port.BuildTelemetry` on one file, made (0600) at the first use when missing. `close` it at the end.

    A full or failing disk is Unavailable `telemetry.unavailable`; what is stored stays. A damaged file is set aside
    (see `damage`), also while it is in use, and a new one begins.
    """

    def __init__(self, path: Path) -> None:
        self._writer = _Lane(path, "telemetry-write")
        self._readers = [_Lane(path, f"telemetry-read-{n}") for n in range(READERS)]
        self._watcher = _Lane(path, "telemetry-watch")
        self._turn = 0
        self._token = 1
        self._seen_version: int | None = None
        self._look = asyncio.Lock()
        self._looked_at = float("-inf")

    def close(self) -> None:
        """Ends the threads and closes the file. Idempotent calls are not needed: call it once."""
        for lane in (self._writer, *self._readers, self._watcher):
            lane.close()

    async def append(self, build_id: str, events: Sequence[BuildEvent]) -> int:
        """See `BuildTelemetry.append`."""
        if not events:
            return await self.last_seq(build_id)
        return await self._writer.run(lambda connection: _append(connection, build_id, events))

    async def read(self, build_id: str, after_seq: int = 0, limit: int = MAX_READ) -> list[BuildEvent]:
        """See `BuildTelemetry.read`."""
        if not 1 <= limit <= MAX_READ:
            raise ValueError(f"limit={limit}: 1..{MAX_READ}")
        self._turn = (self._turn + 1) % READERS
        rows = await self._readers[self._turn].run(
            lambda connection: connection.execute(schema.SELECT_EVENTS, (build_id, after_seq, limit)).fetchall()
        )
        return [schema.event(row) for row in rows]

    async def last_seq(self, build_id: str) -> int:
        """See `BuildTelemetry.last_seq`."""
        self._turn = (self._turn + 1) % READERS
        row = await self._readers[self._turn].run(
            lambda connection: connection.execute(schema.SELECT_HEAD, (build_id,)).fetchone()
        )
        return int(row[0]) if row else 0

    async def delete(self, build_id: str) -> None:
        """See `BuildTelemetry.delete`."""
        await self._writer.run(lambda connection: _delete(connection, [build_id]))

    async def delete_before(self, at: int) -> int:
        """See `BuildTelemetry.delete_before`."""
        old = await self._writer.run(lambda connection: connection.execute(schema.SELECT_OLD, (at,)).fetchall())
        for (build_id,) in old:  # one transaction each: appends of running builds get in between
            await self.delete(build_id)
        # execute() would take one step of this statement, which is one page
        await self._writer.run(lambda connection: connection.executescript("PRAGMA incremental_vacuum"))
        return len(old)

    async def changed(self, after: int, timeout_s: float) -> int:
        """See `BuildTelemetry.changed`."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            if 0 < after < self._token:
                return self._token
            async with self._look:
                await self._compare()
            if after < self._token:
                return self._token
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return after
            await asyncio.sleep(min(POLL_S, left))

    async def _compare(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._looked_at < POLL_S / 2:  # one look serves all who wait; the next one is POLL_S away
            return
        self._looked_at = now
        version = await self._watcher.run(lambda connection: connection.execute("PRAGMA data_version").fetchone()[0])
        if self._seen_version not in (None, version):
            self._token += 1
        self._seen_version = version


def _append(connection: sqlite3.Connection, build_id: str, events: Sequence[BuildEvent]) -> int:
    attempt = max(event.attempt for event in events)
    with schema.transaction(connection):
        row = connection.execute(schema.SELECT_HEAD, (build_id,)).fetchone()
        last, newest = row or (0, 0)
        if min(event.attempt for event in events) < newest:
            raise Aborted(
                "build.attempt_superseded",
                f"attempt {attempt} of {build_id} was replaced by attempt {newest}: its output is no longer recorded",
            )
        rows = [schema.row(build_id, last + n, event) for n, event in enumerate(events, 1)]
        connection.executemany(schema.INSERT_EVENT, rows)
        last += len(rows)
        connection.execute(schema.UPSERT_HEAD, (build_id, last, attempt, max(event.at for event in events)))
    return int(last)


def _delete(connection: sqlite3.Connection, build_ids: list[str]) -> None:
    with schema.transaction(connection):
        for build_id in build_ids:
            connection.execute("DELETE FROM build_events WHERE build_id = ?", (build_id,))
            connection.execute("DELETE FROM build_heads WHERE build_id = ?", (build_id,))
