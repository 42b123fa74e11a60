"""How many instances start at once, and who comes first."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from svc.krane.ingress.broadcast import Broadcast

SLOTS = 6  # a Docker engine takes about 0.25 s a container, one after the other
RESERVED = 2


class StartSlots:
    """`SLOTS` starts at once, `RESERVED` of them for what is live: starts that hang never hold that up."""

    def __init__(self, slots: int = SLOTS, reserved: int = RESERVED) -> None:
        self._slots = slots
        self._reserved = reserved
        self._used = 0
        self._used_by_others = 0
        self._freed = Broadcast()

    @asynccontextmanager
    async def take(self, *, is_live: bool) -> AsyncIterator[None]:
        """Waits for a slot and holds it. `is_live`: see `Runtime.apply`."""

        def is_free() -> bool:
            others = self._slots - self._reserved
            return self._used < self._slots and (is_live or self._used_by_others < others)

        while not is_free():
            await self._freed.wait()
        self._used += 1
        self._used_by_others += not is_live
        try:
            yield
        finally:
            self._used -= 1
            self._used_by_others -= not is_live
            self._freed.notify()
