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


class TimeLeft:
    """What is left of a wait's time.

    Time in which it could not be seen what is waited for counts only for as long as it can't be seen: a region that is
    back gets that time again, one that is not ends the wait. So a wait lasts twice its time at most.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_ms = timeout_s * 1000
        self._elapsed = Elapsed()
        self._unseen_ms = 0
        self._was_unseen = False

    def at(self, now: Tick, paused_ms: int, *, is_unseen: bool) -> float:
        """Seconds that are left, 0 or less when the time is over.

        Args:
            now: of the latest observation.
            paused_ms: see `Elapsed.at`.
            is_unseen: that observation could not see it.
        """
        before_ms = self._elapsed.ms
        total_ms = self._elapsed.at(now, paused_ms)
        if self._was_unseen:
            self._unseen_ms = min(self._unseen_ms + total_ms - before_ms, int(self._timeout_ms))
        self._was_unseen = is_unseen
        return (self._timeout_ms - total_ms + (0 if is_unseen else self._unseen_ms)) / 1000
