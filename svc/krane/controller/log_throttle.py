"""How much of an app's output is kept: a sustained rate, and bursts above it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class LogLimits:
    """Of one instance's output, in bytes a second and bytes."""

    bytes_per_s: int
    burst_bytes: int


class Throttle:
    """A token bucket of bytes, full at first. Once it is empty, it opens again when it is half full.

    Args:
        monotonic: seconds.
    """

    def __init__(self, limits: LogLimits, monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._level = float(limits.burst_bytes)
        self._at = monotonic()
        self._is_open = True

    def allows(self, size: int) -> bool:
        """Whether so many more bytes are kept."""
        now = self._monotonic()
        self._level = min(self._limits.burst_bytes, self._level + (now - self._at) * self._limits.bytes_per_s)
        self._at = now
        if not self._is_open:
            self._is_open = self._level >= self._limits.burst_bytes / 2
        if self._is_open:
            self._level -= size
            self._is_open = self._level > 0
            return True
        return False

    @property
    def opens_in_s(self) -> float:
        """Seconds until it opens again."""
        return max(0.0, (self._limits.burst_bytes / 2 - self._level) / self._limits.bytes_per_s)
