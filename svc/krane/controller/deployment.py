"""One deployment in this region: its instances made to match its topology, one pass at a time.

A pass looks at every container, creates, starts, replaces or stops what is needed, and draws verdicts. Passes are
woken by the feed, by engine events, by probes and by the resync; between them a watch per running instance probes it.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from pkg.errors import FailedPrecondition, Unavailable
from pkg.observability.logging import fields
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller import app_output
from svc.krane.controller.app_output import AppOutput
from svc.krane.controller.backoff import Backoff, Retries
from svc.krane.controller.deps import KraneDeps
from svc.krane.controller.draining import Draining
from svc.krane.controller.endpoints import KnownEndpoint
from svc.krane.controller.instance import FAILED, HEALTHY, STARTING, STOPPED, Exit, Instance, start_timeout_reason
from svc.krane.controller.port_search import PortSearches, asked_path, never_reached
from svc.krane.controller.probes import ProbeResult
from svc.krane.controller.reasons import needs_process_one, start_failure, start_failure_code
from svc.krane.controller.starts import Starts
from svc.krane.controller.topology import HealthRule, disk_mib, health_rule, instance_specs
from svc.krane.controller.wakes import ChangedError, Wakes
from svc.krane.controller.watch import Watches
from svc.krane.runtime.port import (
    NOT_STARTED,
    DiskUse,
    ImageAbsentError,
    InstanceDetails,
    InstanceEvent,
    InstanceSpec,
    InstanceStatus,
    NoRoomError,
)

log = logging.getLogger(__name__)

RECHECK_S = 5.0  # should an engine event be lost while an instance starts
NO_ROOM_RETRY_S = 1.0
_FOR_GOOD = -1.0


class DeploymentReconciler:
    """Owns the instances of one deployment. `run` ends when nothing is wanted and nothing is left.

    Attributes:
        observed: set once the engine was asked about every instance.
    """

    def __init__(self, deployment_id: str, deps: KraneDeps) -> None:
        self.deployment_id = deployment_id
        self.instances: dict[int, Instance] = {}
        self.observed = asyncio.Event()
        self._deps = deps
        self._wakes = Wakes()
        self._draining = Draining(deployment_id, deps, self._wakes, self._gone)
        self._watches = Watches(deps.prober, lambda: deps.desired.probe_hosts(deployment_id))
        self._starts = Starts(deployment_id, deps.tracing, deps.metrics, deps.monotonic)
        self._output = AppOutput(deps.runtime)
        self._ports = PortSearches(deps.runtime)
        self._anew = Retries(*deps.retry_s)
        self._again = Retries(1, 60)
        self._has_served = False

    def wake(self, *, changed: bool = False) -> None:
        """Asks for a pass soon; `changed` when the topology is another, which ends what a pass waits for."""
        self._wakes.wake(changed=changed)

    def notice(self, event: InstanceEvent) -> None:
        """Takes an engine's event of one of the instances, and asks for a pass."""
        for instance in self.instances.values():
            if instance.name == event.name:
                instance.noticed(event, self._deps.reporter.now())
        self.wake()

    def notice_disk(self, use: DiskUse) -> None:
        """Takes what one of the instances uses of the disk; asks for a pass if that is too much."""
        topology = self._deps.desired.topology(self.deployment_id)
        instance = next((one for one in self.instances.values() if one.name == use.name), None)
        if topology is None or instance is None:
            return
        if instance.disk_used(use, disk_mib(topology), self._deps.reporter.now()):
            self.wake()

    @property
    def is_woken(self) -> bool:
        """Whether a pass was asked for that has not begun."""
        return self._wakes.is_woken

    async def settled(self) -> None:
        """Waits until it is known of every instance that runs now whether it answers."""
        await self.observed.wait()
        for instance in list(self.instances.values()):
            if instance.is_running and not instance.failure and not instance.is_answering:
                await instance.first_probe.wait()

    async def run(self) -> None:
        """Passes until there is nothing to do ever again. A fault is logged and tried again, never passed on."""
        backoff = Backoff(0.2, 15)
        try:
            await self._deps.engine_found.wait()
            while True:
                self._wakes.begin()
                try:
                    delay = await self._pass()
                    backoff.reset()
                except ChangedError:
                    continue
                except Exception as error:  # one poisoned deployment must not stop the others
                    delay = backoff.next_s()
                    self._log_fault(error)
                if delay == _FOR_GOOD and not self._wakes.is_woken:
                    return
                await self._wakes.sleep(delay)
        finally:
            self._watches.end_all()
            self._starts.close()

    async def _pass(self) -> float | None:
        """One pass; seconds until the next one is due, None: when woken, _FOR_GOOD: all is gone."""
        topology = self._deps.desired.topology(self.deployment_id)
        specs = instance_specs(topology) if topology is not None else []
        if topology is None or not specs:
            return await self._stop_all(is_known=topology is not None)
        rule = health_rule(topology)
        self._output.use(topology.variables, topology.plain_variables)
        for spec in specs:
            if spec.replica not in self.instances:
                self.instances[spec.replica] = Instance(self.deployment_id, spec.replica, self._output.redacted)
        outcomes = await asyncio.gather(
            *(self._guarded(self._ensure(self.instances[spec.replica], spec, rule, topology)) for spec in specs)
        )
        await self._drop_surplus(len(specs), rule)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        return min((delay for delay in outcomes if isinstance(delay, float)), default=None)

    async def _guarded(self, work: Coroutine[Any, Any, float | None]) -> float | Exception | None:
        """So that one replica's fault does not cut off the others."""
        try:
            return await work
        except Exception as error:
            return error

    async def _ensure(
        self, instance: Instance, spec: InstanceSpec, rule: HealthRule, topology: pb.Topology
    ) -> float | None:
        """One replica's part of a pass; seconds until it wants another look."""
        runtime = self._deps.runtime
        if instance.overfull is not None:
            await self._end_overfull(instance, instance.overfull, rule)
        if instance.failure:
            delay = self._wait_to_renew(instance)
            if delay is None or delay > 0:
                return delay
            await runtime.stop_instance(instance.name, self._deps.stop_grace_s)
            instance.renew()
        if instance.details is None and (held := instance.held_until - self._deps.monotonic()) > 0:
            return held
        try:
            details = await self._inspect(instance)
            if details is None or details.fingerprint != spec.fingerprint or details.status is InstanceStatus.CREATED:
                self._seen(instance, rule)
                details = await self._create(instance, spec, rule, topology)
            instance.observed(details, self._deps.monotonic())
        except NoRoomError as error:
            instance.note, instance.waits_for = error.message, error.resource
            self._report(instance)
            return NO_ROOM_RETRY_S
        except FailedPrecondition as error:
            instance.failure, instance.failure_code = error.message, error.code
            self._publish(instance, rule)
            return self._wait_to_renew(instance)
        self._seen(instance, rule)
        if not instance.failure and (unreachable := never_reached(instance, rule)):
            instance.failure, instance.failure_code = unreachable, "instance.not_healthy"
        if not instance.failure and self._is_overdue(instance, rule):
            instance.failure_code = "instance.not_healthy"
            ports = await self._ports.explain(instance, rule)
            instance.failure = start_timeout_reason(rule.start_timeout_s, instance.last_probe, ports)
        if instance.failure:
            output = await self._output.lines(instance.name, asked_path(rule))
            if details.status is InstanceStatus.EXITED:
                if not instance.is_process_one and needs_process_one(details, output):
                    return await self._make_process_one(instance)
                instance.failure = start_failure(details, output)
                instance.failure_code = start_failure_code(details, output)
            instance.log_tail = app_output.shown(output)
            self._publish(instance, rule)
            return self._wait_to_renew(instance)
        await self._read_output(instance, instance.last_exit, rule)
        self._publish(instance, rule)
        return await self._tend(instance, rule)

    async def _end_overfull(self, instance: Instance, ended: Exit, rule: HealthRule) -> None:
        """Kills and removes an instance that passed its bound of disk, so that this is free again."""
        await self._read_output(instance, ended, rule)
        self._watches.end(instance.replica)
        instance.is_answering = False
        self._publish_endpoints(rule.port)
        log.warning("an instance is ended", extra=fields(instance_id=instance.name, reason=ended.reason))
        await self._deps.runtime.stop_instance(instance.name, 0)
        instance.ended_for_disk(self._deps.monotonic())
        self._publish(instance, rule)

    async def _read_output(self, instance: Instance, ended: Exit | None, rule: HealthRule) -> None:
        if ended is not None and ended.output is None:
            ended.output = app_output.shown(await self._output.lines(instance.name, rule.path))

    async def _inspect(self, instance: Instance) -> InstanceDetails | None:
        """Its container; None also when that was removed, since nobody reaches it any more."""
        runtime = self._deps.runtime
        details = await runtime.inspect_instance(instance.name)
        # Only what was reached before: of another, the engine may not tell where it is.
        if details is None or not (details.is_cut_off and details.kept_running):
            return details
        log.warning("an instance has lost its network; making it again", extra=fields(instance_id=instance.name))
        await runtime.stop_instance(instance.name, self._deps.stop_grace_s)
        return None

    async def _make_process_one(self, instance: Instance) -> float:
        """Makes the container again with the image's own init as process 1, without counting it as a failure."""
        await self._deps.runtime.stop_instance(instance.name, 0)
        instance.renew()
        instance.is_process_one = True
        return 0.0

    async def _tend(self, instance: Instance, rule: HealthRule) -> float | None:
        """Keeps an instance that has a container and no failure going."""
        runtime, details = self._deps.runtime, instance.details
        if details is None:
            return None
        if instance.is_running:
            self._watches.keep(
                instance,
                rule,
                lambda result: self._probed(instance, result, rule),
                lambda hosts: self._refused(instance, rule, hosts),
            )
            if instance.is_answering and not details.kept_running:
                await runtime.keep_running(instance.name)
                instance.observed(await runtime.inspect_instance(instance.name), self._deps.monotonic())
            return None if instance.was_healthy else RECHECK_S
        self._watches.end(instance.replica)
        if details.status is not InstanceStatus.EXITED:
            return RECHECK_S
        # The engine does not restart what was stopped by hand; the desired state says that it runs.
        delay = self._again.wait_s(instance.replica)
        if delay == 0:
            await runtime.start_instance(instance.name)
            self.wake()
        return delay or None

    async def _create(
        self, instance: Instance, spec: InstanceSpec, rule: HealthRule, topology: pb.Topology
    ) -> InstanceDetails:
        """Makes the instance's container. What may pass is told while it is tried again, up to the start timeout."""
        self._report(instance)
        start = self._starts.begin(instance, topology.traceparent)
        while True:
            is_live = self._deps.desired.is_live(self.deployment_id)
            try:
                async with self._deps.slots.take(is_live=is_live):
                    return await self._deps.runtime.ensure_instance(
                        replace(spec, is_process_one=instance.is_process_one), is_live=is_live
                    )
            except ImageAbsentError as absent:
                instance.note = f"pulling image {absent.image_ref}"
                self._report(instance)
                await self._wakes.unless_changed(self._deps.runtime.pull_image(absent.image_ref))
            except Unavailable as error:
                instance.note = f"{error.message}; trying again"
                self._report(instance)
                if error.code == NOT_STARTED and self._starts.age_s(start) >= rule.start_timeout_s:
                    tried = f"not started within {rule.start_timeout_s:.0f} s: {error.message}"
                    raise FailedPrecondition(NOT_STARTED, tried) from error
                raise

    def _seen(self, instance: Instance, rule: HealthRule) -> None:
        """The engine was asked about this one; once it was asked about all, what they answer is known."""
        instance.was_seen = True
        if not self.observed.is_set() and all(one.was_seen for one in self.instances.values()):
            self.observed.set()
            self._publish_endpoints(rule.port)

    def _is_overdue(self, instance: Instance, rule: HealthRule) -> bool:
        """Not healthy in time, and asked at least once."""
        details = instance.details
        if instance.was_healthy or details is None or instance.last_probe is None or not instance.is_running:
            return False
        return self._deps.monotonic() - instance.running_since >= rule.start_timeout_s

    def _wait_to_renew(self, instance: Instance) -> float | None:
        """Seconds until a failed instance is made anew; None: never.

        During a deploy the verdict stands. What serves, or did, has to be healed.
        """
        return self._anew.wait_s(instance.replica) if self._is_serving else None

    @property
    def _is_serving(self) -> bool:
        """Whether users are sent here, or were."""
        return self._has_served or self._deps.desired.is_routed(self.deployment_id)

    def _probed(self, instance: Instance, result: ProbeResult, rule: HealthRule) -> None:
        if instance.failure:
            return
        instance.probed(result)
        if result.is_ok:
            self._ports.answered(instance, rule)
            self._has_served = True
            self._anew.reset(instance.replica)
            self._again.reset(instance.replica)
        elif result.is_foreign:
            instance.port_notice = result.text
        is_new = result.is_ok and instance.details is not None and not instance.details.kept_running
        if is_new or result.is_final or self._is_overdue(instance, rule):
            self.wake()
        self._publish(instance, rule)

    async def _refused(self, instance: Instance, rule: HealthRule, hosts: tuple[str, ...]) -> None:
        """Nothing listens where it is expected: perhaps it does elsewhere."""
        if not instance.failure and await self._ports.refused(instance, rule, hosts):
            self._report(instance)
            if instance.is_unreachable:
                self.wake()

    def _publish(self, instance: Instance, rule: HealthRule) -> None:
        """Tells the api and the ingress what is so now."""
        if (
            instance.was_healthy
            and instance.is_running
            and not instance.is_answering
            and not instance.first_probe.is_set()
        ):
            return  # just restarted: the first probe is a moment away
        state, _ = instance.verdict()
        if state != STARTING:
            self._starts.decide(instance, "failed" if state == FAILED else "healthy")
        self._report(instance)
        self._publish_endpoints(rule.port)

    def _report(self, instance: Instance) -> None:
        self._deps.reporter.put(instance.report(self._deps.reporter.now()))

    def _publish_endpoints(self, port: int) -> None:
        """Before every instance was looked at this would say that the others are none."""
        if not self.observed.is_set():
            return
        endpoints = [
            KnownEndpoint(
                deployment_id=self.deployment_id,
                address=details.address,
                port=port,
                healthy=one.verdict()[0] == HEALTHY,
                container_id=details.container_id,
                started_at_ms=details.started_at_ms,
                is_assigned=details.is_address_assigned,
            )
            for _, one in sorted(self.instances.items())
            if (details := one.details) is not None and details.address
        ]
        self._deps.endpoints.publish(self.deployment_id, endpoints)

    async def _drop_surplus(self, replicas: int, rule: HealthRule) -> None:
        """Ends replicas beyond the wanted count: out of the ingress first."""
        surplus = [s for s in await self._deps.runtime.list_instances(self.deployment_id) if s.replica >= replicas]
        for summary in surplus:
            self.instances.pop(summary.replica, None)
        self._publish_endpoints(rule.port)
        await self._draining.stop(surplus)

    async def _stop_all(self, *, is_known: bool) -> float:
        """Stops everything once the ingress lets go. Nothing is deleted for being unknown before the api confirmed."""
        deps = self._deps
        if not is_known and not deps.desired.is_confirmed:
            self.observed.set()
            return RECHECK_S
        found = await deps.runtime.list_instances(self.deployment_id)
        self.observed.set()
        if found:
            await self._draining.wait_unlisted()
            await self._draining.stop(found)
        for instance in list(self.instances.values()):
            self._gone(instance.replica, instance.name)
        self._anew.clear()
        self._has_served = False
        deps.endpoints.remove(self.deployment_id)
        deps.desired.forget_stopped(self.deployment_id)
        return _FOR_GOOD

    def _gone(self, replica: int, name: str) -> None:
        self._watches.end(replica)
        self.instances.pop(replica, None)
        self._starts.forget(replica)
        reporter = self._deps.reporter
        reporter.put(
            pb.InstanceReport(
                instance_id=name,
                deployment_id=self.deployment_id,
                replica=replica,
                state=STOPPED,
                observed_at=reporter.now(),
            )
        )

    def _log_fault(self, error: Exception) -> None:
        extra = fields(deployment_id=self.deployment_id, error=self._output.redacted(str(error)))
        if isinstance(error, Unavailable):
            log.warning("an engine call failed; trying again", extra=extra)
        else:
            log.error("a reconcile pass broke; trying again", exc_info=error, extra=extra)
