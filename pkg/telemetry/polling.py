"""Wakes followers by comparing a version of the store now and then: for stores that do not tell of changes."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable


class PolledChanges:
    """`port.TelemetryChanges`; one comparison serves all who wait, and nothing is asked while nobody does.

    Args:
        version: something that differs after a process has stored an event; its errors come out of `changed`.
        poll_s: between two comparisons, in seconds.
    """

    def __init__(self, version: Callable[[], Awaitable[Hashable]], poll_s: float) -> None:
        self._version = version
        self._poll_s = poll_s
        self._token = 1
        self._seen: Hashable = None
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
            await asyncio.sleep(min(self._poll_s, left))

    async def _compare(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._compared_at < self._poll_s / 2:
            return
        version = await self._version()
        self._compared_at = now
        if self._seen not in {None, version}:
            self._token += 1
        self._seen = version
