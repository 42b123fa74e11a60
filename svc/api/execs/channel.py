"""A bounded queue between two calls, that either of them may close."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class ClosedError(Exception):
    """Nothing goes through any more."""


class Channel(Generic[T]):
    """Items in their order; `put` waits while there are `size` of them. Of one event loop."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[T] = deque()
        self._is_closed = False
        self._changed = asyncio.Condition()

    async def put(self, item: T) -> None:
        """Waits for room. Raises ClosedError."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_closed or len(self._items) < self._size)
            if self._is_closed:
                raise ClosedError
            self._items.append(item)
            self._changed.notify_all()

    async def get(self) -> T:
        """The next item; those that are there are handed out before it is closed. Raises ClosedError."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_closed or bool(self._items))
            if not self._items:
                raise ClosedError
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    async def close(self, last: T | None = None) -> None:
        """No more items, but for `last`, which is added whether there is room or not. Idempotent."""
        async with self._changed:
            if self._is_closed:
                return
            if last is not None:
                self._items.append(last)
            self._is_closed = True
            self._changed.notify_all()
