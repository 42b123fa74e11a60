"""Waits for a condition, with a timeout."""

import time
from collections.abc import Callable
from typing import TypeVar

from pkg.testing.wait import WAIT_S

T = TypeVar("T")

_INTERVAL_S = 0.02
ATTEMPTS = 3


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


def takes_at_most(within_s: float, attempt: Callable[[], None], *, what: str) -> None:
    """Fails unless one of up to `ATTEMPTS` attempts takes so long at most: a busy machine delays some, a fault all."""
    took: list[float] = []
    while len(took) < ATTEMPTS:
        began = time.monotonic()
        attempt()
        took.append(time.monotonic() - began)
        if took[-1] <= within_s:
            return
    raise AssertionError(f"never within {within_s:g} s: {what} ({', '.join(f'{one:.1f} s' for one in took)})")


def _pause() -> Callable[[float], object]:
    # a timed wait on an event that is never set, because the polled state is in other processes
    import threading

    return threading.Event().wait
