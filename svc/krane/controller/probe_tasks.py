"""The probing tasks of one deployment: at most one per running instance, always of its current incarnation."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pkg.observability.logging import fields
from svc.krane.controller import uptime
from svc.krane.controller.instance import Instance
from svc.krane.controller.probes import ProbeResult, Schedule, Target, probe
from svc.krane.controller.protocol_check import ProtocolCheck
from svc.krane.controller.topology import HealthRule

log = logging.getLogger(__name__)

CONFIRM_UP_S = 60.0  # nothing changes until it ends

OnRefused = Callable[[tuple[str, ...]], Awaitable[None]]
_Subject = tuple[tuple[str, int, str], HealthRule]


class ProbeTasks:
    """Starts, keeps and ends the tasks. `hosts` returns the Host headers that the next probe may send."""

    def __init__(self, hosts: Callable[[], tuple[str, ...]], monotonic: Callable[[], float]) -> None:
        self._hosts = hosts
        self._monotonic = monotonic
        self._tasks: dict[int, tuple[_Subject, asyncio.Task[None]]] = {}

    def keep(
        self,
        instance: Instance,
        rule: HealthRule,
        on_result: Callable[[ProbeResult], None],
        on_refused: OnRefused,
    ) -> None:
        """Probes this incarnation by this rule until it fails for good or another call ends it. Idempotent.

        `on_refused` is awaited, with what its Host header may say, after each one that met no listener before the
        instance was healthy.
        """
        subject = (instance.incarnation, rule)
        current = self._tasks.get(instance.replica)
        if current is not None and current[0] == subject and not current[1].done():
            return
        self.end(instance.replica)
        probing = self._probe(instance, rule, on_result, on_refused)
        self._tasks[instance.replica] = (subject, asyncio.create_task(probing, name=f"watch {instance.name}"))

    def end(self, replica: int) -> None:
        """Stops probing a replica."""
        current = self._tasks.pop(replica, None)
        if current is not None:
            current[1].cancel()

    def end_all(self) -> None:
        """Stops probing."""
        for replica in list(self._tasks):
            self.end(replica)

    async def _probe(
        self,
        instance: Instance,
        rule: HealthRule,
        on_result: Callable[[ProbeResult], None],
        on_refused: OnRefused,
    ) -> None:
        if rule.stays_up_s:
            await self._stay_up(instance, rule.stays_up_s, on_result)
            return
        schedule = Schedule(rule.interval_s)
        protocol_check = ProtocolCheck(rule)
        preferred = ""
        address = instance.incarnation[2]
        while not instance.failure:
            target = Target(
                address=address,
                port=rule.port,
                path=rule.path,
                hosts=tuple(sorted(self._hosts(), key=lambda host: host != preferred)),
                timeout_s=rule.timeout_s,
                connect_s=schedule.connect_s(rule.timeout_s),
                protocol=rule.protocol,
            )
            result = await probe(target)
            if not (instance.was_healthy or result.is_unasked):
                result = await protocol_check.checked(target, result)
            preferred = result.host or preferred
            try:
                on_result(result)
                if result.is_refused and not instance.was_healthy:
                    await on_refused(target.hosts)
            except Exception:  # a task that ends by itself would keep the last verdict for ever
                log.exception("a probe result could not be taken", extra=fields(instance_id=instance.name))
            await asyncio.sleep(schedule.next_s(instance.was_healthy, result))

    async def _stay_up(self, instance: Instance, needed_s: float, on_result: Callable[[ProbeResult], None]) -> None:
        """In place of probes, of what has no port: its end, or another start, cancels this."""
        while not instance.failure:
            up_s = self._monotonic() - instance.running_since
            try:
                on_result(uptime.result(up_s, needed_s))
            except Exception:
                log.exception("an uptime could not be taken", extra=fields(instance_id=instance.name))
            await asyncio.sleep(uptime.left_s(up_s, needed_s) or CONFIRM_UP_S)
