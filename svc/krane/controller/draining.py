"""Stops instances: takes them out of the ingress, stops the app, removes them."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable

from pkg.observability.logging import fields
from svc.krane.controller.deps import KraneDeps
from svc.krane.controller.workqueue import WorkQueue
from svc.krane.runtime.port import InstanceRef

log = logging.getLogger(__name__)

UNLISTED_WAIT_S = 5.0
ASK_AGAIN_S = 0.1  # while Envoy has not acknowledged that it sends nothing to an instance


class Draining:
    """Stops a deployment's instances. `gone` is called with each instance (replica, name) that has been removed."""

    def __init__(self, deployment_id: str, deps: KraneDeps, queue: WorkQueue, gone: Callable[[int, str], None]) -> None:
        self._deployment_id = deployment_id
        self._deps = deps
        self._queue = queue
        self._gone = gone

    async def wait_unlisted(self) -> None:
        """Waits, without limit, until no route may lead here and the drain is over. Raises ChangedError."""
        deps, deployment_id = self._deps, self._deployment_id
        while True:
            if deps.desired.is_routed(deployment_id):
                await self._queue.unless_changed(asyncio.sleep(1))
            elif await self._queue.unless_changed(deps.ingress.wait_unlisted(deployment_id, UNLISTED_WAIT_S)):
                if not deps.ingress.lists(deployment_id):
                    await self._queue.unless_changed(deps.releases.wait(deployment_id))
                    return
            else:
                extra = fields(deployment_id=deployment_id)
                log.warning("the ingress still lists a deployment that should stop; waiting", extra=extra)

    async def delete(self, found: Iterable[InstanceRef]) -> None:
        """Stops these, kills them after the grace period, removes them. Raises Unavailable."""
        await asyncio.gather(*(self._delete_one(ref) for ref in found))

    async def _delete_one(self, ref: InstanceRef) -> None:
        log.info("stopping an instance", extra=fields(deployment_id=self._deployment_id, instance_id=ref.name))
        await self._deps.runtime.delete(self._deployment_id, ref.name, grace_s=self._deps.stop_grace_s)
        self._gone(ref.replica, ref.name)


class InstanceDrains:
    """When instances may end that left the ingress while others of their deployment serve on.

    `has_requests` False: they are of a process, which was never in the ingress: at once.
    """

    def __init__(self, deps: KraneDeps, *, has_requests: bool = True) -> None:
        self._deps = deps
        self._has_requests = has_requests
        self._since: dict[str, float] = {}

    def left_s(self, name: str, address: str) -> float:
        """Seconds until the instance may end, 0 for now: requests that were under way have had `KraneDeps.drain_s`.

        While Envoy may send requests to the address, the time does not begin.
        """
        if not (address and self._has_requests):
            return 0.0
        held = self._deps.ingress.held_addresses()
        if held is None or address in held:
            self._since.pop(name, None)
            return ASK_AGAIN_S
        now = self._deps.monotonic()
        return max(0.0, self._since.setdefault(name, now) + self._deps.drain_s - now)

    def keep_only(self, names: Collection[str]) -> None:
        """Forgets all others: they came back, or are gone."""
        self._since = {name: since for name, since in self._since.items() if name in names}
