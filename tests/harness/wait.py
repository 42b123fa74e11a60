"""Waits for a condition, with a timeout."""

import time
from collections.abc import Callable
from typing import TypeVar

from pkg.testing.wait import WAIT_S

T = TypeVar("T")

_INTERVAL_S = 0.02


def eventually(look: Callable[[], T | None], *, what: str, within_s: float = WAIT_S) -> T:
    """The first truthy value that `look` returns. On timeout, fails with `what`."""
    deadline = time.monotonic() + within_s
    last: object = None
    pause = _pause()
    while True:
        value = look()
        if value:
            return value
        last = value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what} (last seen: {last!r})")
        pause(_INTERVAL_S)


def _pause() -> Callable[[float], object]:
    # a timed wait on an event that is never set, because the polled state is in other processes
    import threading

    return threading.Event().wait
