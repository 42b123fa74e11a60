"""How long a wait has taken, by a clock that can't be set. Pure but for `tick`.

Ticks are journaled with each observation, so a replay counts the same; differences of wall-clock times are not used.
"""

import time
from functools import lru_cache
from pathlib import Path

import msgspec


class Tick(msgspec.Struct, frozen=True):
    """A moment: milliseconds since the start of the machine (with suspends), and which start that was."""

    boot: str
    ms: int


@lru_cache(maxsize=1)
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def tick() -> Tick:
    """Now."""
    return Tick(_boot(), time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000)


class Elapsed:
    """Adds up the time between ticks."""

    def __init__(self) -> None:
        self.ms = 0
        self._before: Tick | None = None

    def at(self, now: Tick, paused_ms: int) -> int:
        """Milliseconds so far.

        Args:
            now: of the latest observation.
            paused_ms: the longest pause since the one before; counts when the machine was restarted or replaced.
        """
        before, self._before = self._before, now
        if before is None:
            return self.ms
        self.ms += max(0, now.ms - before.ms) if now.boot == before.boot else paused_ms
        return self.ms
