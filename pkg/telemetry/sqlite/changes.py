"""Wakes followers: `PRAGMA data_version` shows one connection that another one, of any process, has committed.

It costs microseconds, so that waiting for news is a poll of 20 ms.
"""

import asyncio

from pkg.telemetry.sqlite.connection import ThreadConnection

POLL_S = 0.02


class SqliteChanges:
    """`port.TelemetryChanges` on a separate connection."""

    def __init__(self, connection: ThreadConnection) -> None:
        self._connection = connection
        self._token = 1
        self._seen_version: int | None = None
        self._comparing = asyncio.Lock()
        self._compared_at = float("-inf")

    async def changed(self, after: int, timeout_s: float) -> int:
        """See `TelemetryChanges.changed`."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            if 0 < after < self._token:
                return self._token
            async with self._comparing:
                await self._compare()
            if after < self._token:
                return self._token
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return after
            await asyncio.sleep(min(POLL_S, left))

    async def _compare(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._compared_at < POLL_S / 2:  # one comparison serves all who wait; the next one is POLL_S away
            return
        self._compared_at = now
        version = await self._connection.run(lambda c: c.execute("PRAGMA data_version").fetchone()[0])
        if self._seen_version not in (None, version):
            self._token += 1
        self._seen_version = version
