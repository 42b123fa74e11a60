"""The probing tasks of one deployment: at most one per running instance, always of its current incarnation."""

import asyncio
import logging
from collections.abc import Callable

from pkg.observability.logging import fields
from svc.krane.controller.instance import Instance
from svc.krane.controller.probes import Prober, ProbeResult, Schedule, Target
from svc.krane.controller.topology import HealthRule

log = logging.getLogger(__name__)


class Watches:
    """Starts, keeps and ends them. `hostname` names the Host header of the next probe."""

    def __init__(self, prober: Prober, hostname: Callable[[], str | None]) -> None:
        self._prober = prober
        self._hostname = hostname
        self._tasks: dict[int, tuple[tuple[str, int, str], asyncio.Task[None]]] = {}

    def keep(self, instance: Instance, rule: HealthRule, on_result: Callable[[ProbeResult], None]) -> None:
        """Probes this incarnation from now on, until it fails for good or another call ends it. Idempotent."""
        current = self._tasks.get(instance.replica)
        if current is not None and current[0] == instance.incarnation and not current[1].done():
            return
        self.end(instance.replica)
        task = asyncio.create_task(self._probe(instance, rule, on_result), name=f"watch {instance.name}")
        self._tasks[instance.replica] = (instance.incarnation, task)

    def end(self, replica: int) -> None:
        """Stops probing a replica."""
        current = self._tasks.pop(replica, None)
        if current is not None:
            current[1].cancel()

    def end_all(self) -> None:
        """Stops probing."""
        for replica in list(self._tasks):
            self.end(replica)

    async def _probe(self, instance: Instance, rule: HealthRule, on_result: Callable[[ProbeResult], None]) -> None:
        schedule = Schedule(rule.interval_s)
        address = instance.incarnation[2]
        while not instance.failure:
            target = Target(
                address=address,
                port=rule.port,
                path=rule.path,
                host=self._hostname() or "localhost",
                timeout_s=rule.timeout_s,
                connect_s=schedule.connect_s(rule.timeout_s),
            )
            result = await self._prober.probe(target)
            try:
                on_result(result)
            except Exception:  # a watch that ends by itself would leave the last verdict standing for ever
                log.exception("a probe result could not be taken", extra=fields(instance_id=instance.name))
            await asyncio.sleep(schedule.next_s(was_healthy=instance.was_healthy, is_ok=result.is_ok))
