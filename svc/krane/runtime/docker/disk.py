"""Watches what containers write to their own layers, as often as it may cost.

A storage driver that holds a container to its bound by itself is used where there is one (`container_spec`); watching
covers all others. Which instance is ended, and when, is the controller's decision.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pkg.errors import SealiftError
from pkg.observability.logging import fields
from svc.krane.runtime.port import EventKind, InstanceEvent

log = logging.getLogger(__name__)

SHARE = 0.05  # of the time at most, since the engine looks at every file
MIN_INTERVAL_S = 2.0
MAX_INTERVAL_S = 900.0
MAX_RETRY_S = 60.0
MIB = 1 << 20


@dataclass(frozen=True)
class DiskUse:
    """What a container has in its own layer, over its image: the sizes of its files, as the engine counts them."""

    name: str
    deployment_id: str
    uid: str
    used_bytes: int

    def exceeds(self, disk_mib: int) -> bool:
        """Whether that is more than a bound; 0 is none."""
        return 0 < disk_mib * MIB < self.used_bytes


class DiskWatch:
    """Compares the use of every running container with its deployment's bound until cancelled.

    Args:
        measure: lists the use of every running container; the more files there are, the longer it takes.
        on_event: takes DISK_EXCEEDED, again at each measurement for as long as that is so.
    """

    def __init__(
        self, measure: Callable[[], Awaitable[Sequence[DiskUse]]], on_event: Callable[[InstanceEvent], None]
    ) -> None:
        self._measure = measure
        self._on_event = on_event
        self._bounds_mib: dict[str, int] = {}

    def set_bound(self, deployment_id: str, disk_mib: int) -> None:
        """What each instance of a deployment may write; 0: without bound."""
        self._bounds_mib[deployment_id] = disk_mib

    def forget_all_but(self, deployment_ids: frozenset[str]) -> None:
        """Drops the bounds of deployments that have no instance any more."""
        for deployment_id in self._bounds_mib.keys() - deployment_ids:
            del self._bounds_mib[deployment_id]

    async def run(self) -> None:
        """Measures until cancelled."""
        retry_s = MIN_INTERVAL_S
        while True:
            began = time.monotonic()
            delay = 0.0
            try:
                for use in await self._measure():
                    if use.exceeds(self._bounds_mib.get(use.deployment_id, 0)):
                        self._on_event(_exceeded(use))
                retry_s = MIN_INTERVAL_S
            except SealiftError as error:
                delay, retry_s = retry_s, min(MAX_RETRY_S, retry_s * 2)
                log.warning("what instances use of the disk is not known; asking again", extra=fields(error=str(error)))
            await asyncio.sleep(max(delay, interval_s(time.monotonic() - began)))


def interval_s(took_s: float) -> float:
    """How long to wait after a measurement that took so long."""
    return min(MAX_INTERVAL_S, max(MIN_INTERVAL_S, took_s * (1 / SHARE - 1)))


def _exceeded(use: DiskUse) -> InstanceEvent:
    return InstanceEvent(EventKind.DISK_EXCEEDED, use.deployment_id, use.name, uid=use.uid, used_bytes=use.used_bytes)
