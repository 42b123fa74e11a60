"""The time, as everything here counts it: UTC, in epoch milliseconds."""

import time
from collections.abc import Callable

Clock = Callable[[], int]


def now_ms() -> int:
    """Now. The clock of production; tests pass their own."""
    return time.time_ns() // 1_000_000
