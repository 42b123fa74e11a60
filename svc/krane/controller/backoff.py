"""Waits between tries: they grow, are capped, and are jittered, so that many kranes do not retry at the same moment."""

import random
import time
from collections.abc import Callable


class Backoff:
    """Delays that double from `first_s` to `most_s`, each shortened at random by up to half, until `reset`."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s

    def next_s(self) -> float:
        """How long to wait now, in seconds."""
        delay = self._next_s
        self._next_s = min(self._most_s, delay * 2)
        return delay * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        """The next delay is `first_s` again."""
        self._next_s = self._first_s


class Retries:
    """When something may be tried again, per key; every try makes the next wait longer until `reset`."""

    def __init__(self, first_s: float, most_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = (first_s, most_s)
        self._clock = clock
        self._due: dict[int, tuple[float, Backoff]] = {}

    def wait_s(self, key: int) -> float:
        """Seconds left before the next try; 0.0: try now, which starts the next wait. The first try waits too."""
        now = self._clock()
        due, backoff = self._due.get(key) or (None, Backoff(*self._limits))
        if due is not None and now < due:
            return due - now
        delay = backoff.next_s()
        self._due[key] = (now + delay, backoff)
        return delay if due is None else 0.0

    def reset(self, key: int) -> None:
        """The next try waits the shortest time again."""
        self._due.pop(key, None)

    def clear(self) -> None:
        """Forgets every key."""
        self._due.clear()
