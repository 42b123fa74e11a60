"""Looks at what instances use of the disk, as often as it may cost."""

import asyncio
import logging
import time
from collections.abc import Callable

from pkg.errors import SealiftError
from pkg.observability.logging import fields
from svc.krane.controller.backoff import Backoff
from svc.krane.runtime.port import DiskUse, Runtime

log = logging.getLogger(__name__)

SHARE = 0.05  # of the time at most, since the engine looks at every file
MIN_INTERVAL_S = 2.0
MAX_INTERVAL_S = 900.0


async def watch_disk(runtime: Runtime, on_use: Callable[[DiskUse], None]) -> None:
    """Tells what each running instance uses, again and again until cancelled."""
    backoff = Backoff(MIN_INTERVAL_S, 60)
    while True:
        began = time.monotonic()
        delay = 0.0
        try:
            for use in await runtime.disk_use():
                on_use(use)
            backoff.reset()
        except SealiftError as error:
            delay = backoff.next_s()
            log.warning("what instances use of the disk is not known; asking again", extra=fields(error=str(error)))
        await asyncio.sleep(max(delay, interval_s(time.monotonic() - began)))


def interval_s(took_s: float) -> float:
    """How long to wait after a look that took so long."""
    return min(MAX_INTERVAL_S, max(MIN_INTERVAL_S, took_s * (1 / SHARE - 1)))
