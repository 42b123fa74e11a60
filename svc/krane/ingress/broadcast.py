"""A signal for many waiters: everyone who waits now is woken once."""

import asyncio


class Broadcast:
    """`wait` returns at the next `notify`. Lives on one event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wakes all who wait."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Waits for the next `notify`; check the condition before and after."""
        await self._event.wait()
