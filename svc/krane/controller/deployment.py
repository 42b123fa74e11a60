"""One deployment in this region: its instances made to match its topology, one pass at a time.

A pass observes every instance, has the runtime make, start, replace or delete what is needed, and draws verdicts.
Passes are requested by the feed, by the runtime's events, by probes and by the resync; between them every instance
that runs is probed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from pkg.desired.processes import split_workload
from pkg.errors import Unavailable
from pkg.observability.logging import fields
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.deps import KraneDeps
from svc.krane.controller.draining import Draining
from svc.krane.controller.instance import HEALTHY, Instance
from svc.krane.controller.publishing import Publisher
from svc.krane.controller.replicas import RECHECK_S, ReplicaReconciler
from svc.krane.controller.rolling import ReplicaState, RollingStep, next_step
from svc.krane.controller.start_timings import StartTimings
from svc.krane.controller.topology import HealthRule, deployment_spec, disk_mib, health_rule
from svc.krane.controller.workqueue import ChangedError, Result, WorkQueue, soonest
from svc.krane.runtime.port import DeploymentSpec, EventKind, InstanceEvent, InstanceRef, WantedReplicas

log = logging.getLogger(__name__)

WEB_ENDS_S = 0.5  # until it is looked again whether the web instances have ended


class DeploymentReconciler:
    """Owns the instances of one deployment, or of a process of it.

    `run` ends when nothing is wanted and nothing is left.

    Attributes:
        observed: set once every instance was observed.
    """

    def __init__(self, deployment_id: str, deps: KraneDeps) -> None:
        self.deployment_id = deployment_id
        self._owner_id, self._process = split_workload(deployment_id)
        self.instances: dict[int, Instance] = {}
        self._surplus: dict[int, str] = {}  # names of those that left the ingress and may not have ended yet
        self.observed = asyncio.Event()
        self._deps = deps
        self._queue = WorkQueue()
        start_timings = StartTimings(deployment_id, deps.tracing, deps.metrics, deps.monotonic)
        self._publisher = Publisher(deployment_id, deps, start_timings, self.instances, self.observed)
        self._draining = Draining(deployment_id, deps, self._queue, self._gone)
        self._replicas = ReplicaReconciler(
            deployment_id, deps, start_timings, self._publisher, self._queue.add, self._one_observed
        )

    def request(self, *, changed: bool = False) -> None:
        """Requests a pass; `changed`: the topology is another one, which ends what the current pass waits for."""
        self._queue.add(changed=changed)

    def notice(self, event: InstanceEvent) -> None:
        """Takes a runtime's event of one of the instances, and requests a pass."""
        at = self._deps.reporter.now()
        instance = next((one for one in self.instances.values() if one.name == event.name), None)
        if event.kind is not EventKind.DISK_EXCEEDED:
            if instance is not None:
                instance.noticed(event, at)
            self.request()
            return
        topology = self._deps.desired.topology(self.deployment_id)
        if instance is not None and topology is not None and instance.disk_exceeded(event, disk_mib(topology), at):
            self.request()

    @property
    def is_requested(self) -> bool:
        """Whether a requested pass has not started yet."""
        return self._queue.is_requested

    async def wait_probed(self) -> None:
        """Waits until it is known of every instance that runs now whether it answers."""
        await self.observed.wait()
        for instance in list(self.instances.values()):
            if instance.is_running and not instance.failure and not instance.is_answering:
                await instance.first_probe.wait()

    async def run(self) -> None:
        """Reconciles until it is done. A fault is logged and tried again, never passed on."""
        backoff = Backoff(0.2, 15)
        try:
            await self._deps.engine_found.wait()
            while True:
                self._queue.take()
                try:
                    result = await self._reconcile()
                    backoff.reset()
                except ChangedError:
                    continue
                except Exception as error:  # one poisoned deployment must not stop the others
                    result = Result(backoff.next_s())
                    self._log_fault(error)
                if result.is_done and not self._queue.is_requested:
                    return
                await self._queue.wait(result.requeue_after_s)
        finally:
            self._replicas.close()

    async def _reconcile(self) -> Result:
        """One pass."""
        topology = self._deps.desired.topology(self.deployment_id)
        live = self._deps.desired.live_of(topology.environment_id) if topology is not None else ""
        spec = deployment_spec(topology, live) if topology is not None else None
        if topology is None or spec is None or not spec.replicas:
            return await self._stop_all(is_known=topology is not None)
        rule = health_rule(topology)
        self._replicas.output.use(topology.variables, topology.plain_variables)
        wanted = await self._deps.runtime.wanted_replicas(spec)
        if self._process:  # two clocks would both ring
            wanted = replace(wanted, may_exceed=False)
        found = await self._deps.runtime.list_instances(self.deployment_id)
        step = self._step(spec, wanted, found)
        self._take_out(step, rule, found)
        for replica in range(step.count):
            if replica not in self.instances:
                self._surplus.pop(replica, None)
                self.instances[replica] = Instance(self.deployment_id, replica, self._replicas.output.redacted)
            self.instances[replica].scaling_notice = wanted.notice
        outcomes = await asyncio.gather(
            *(
                self._guarded(partial(self._replicas.reconcile, self.instances[replica], spec, rule, topology))
                for replica in range(step.count)
            )
        )
        outcomes.append(await self._delete_surplus(step.count, found))
        if self._step(spec, wanted, found) != step:
            self._queue.add()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        return soonest(outcome for outcome in outcomes if isinstance(outcome, Result))

    def _step(self, spec: DeploymentSpec, wanted: WantedReplicas, found: Sequence[InstanceRef]) -> RollingStep:
        """How many instances there are to be now, and which of them is made again."""
        if not self.observed.is_set():
            # An earlier krane may have made one more, which stands in for another until that serves.
            is_one_more = wanted.may_exceed and any(ref.replica == wanted.count for ref in found)
            return RollingStep(wanted.count + is_one_more)
        states = {
            replica: ReplicaState(
                one.seen.restart_generation, is_serving=one.verdict()[0] == HEALTHY and not one.is_leaving
            )
            for replica, one in self.instances.items()
            if one.seen is not None
        }
        return next_step(states, wanted.count, spec.restart_generation, may_exceed=wanted.may_exceed)

    async def _guarded(self, work: Callable[[], Awaitable[Result]]) -> Result | Exception:
        """So that one replica's fault does not cut off the others."""
        try:
            return await work()
        except Exception as error:
            return error

    def _one_observed(self, port: int) -> None:
        """Called after an instance was observed; publishes the endpoints once all were."""
        if not self.observed.is_set() and all(one.was_observed for one in self.instances.values()):
            self.observed.set()
            self._publisher.endpoints(port)

    def _take_out(self, step: RollingStep, rule: HealthRule, found: Sequence[InstanceRef]) -> None:
        """Takes what is to end, or to be made again, out of the ingress, before anything that may take long."""
        surplus = [replica for replica in self.instances if replica >= step.count]
        for replica in surplus:
            self._replicas.end(replica)
            self._surplus[replica] = self.instances.pop(replica).name
        moved = [one for one in self.instances.values() if one.is_leaving != (one.replica == step.replace)]
        for one in moved:
            one.is_leaving = not one.is_leaving
        leaving = {ref.name for ref in found if ref.replica >= step.count or ref.replica == step.replace}
        self._replicas.drains.keep_only(leaving)
        if surplus or moved:
            self._publisher.endpoints(rule.port)

    async def _delete_surplus(self, replicas: int, found: Sequence[InstanceRef]) -> Result | Exception:
        """Ends the instances beyond the wanted number, once the requests under way had their time.

        Those that the runtime has ended by itself are reported, too.
        """
        surplus = [ref for ref in found if ref.replica >= replicas]
        left_s = max((self._replicas.drains.left_s(ref.name, ref.address) for ref in surplus), default=0.0)
        if left_s > 0:
            return Result(left_s)
        try:
            await self._draining.delete(surplus)
        except Exception as error:
            return error
        for replica, name in list(self._surplus.items()):
            self._gone(replica, name)
        return Result()

    async def _stop_all(self, *, is_known: bool) -> Result:
        """Stops everything once no route leads here. Nothing unknown is deleted before the api has confirmed."""
        deps = self._deps
        if not is_known and not deps.desired.is_confirmed:
            self.observed.set()
            return Result(RECHECK_S)
        found = await deps.runtime.list_instances(self.deployment_id)
        self.observed.set()
        if found:
            for ref in found:
                seen = await deps.runtime.observe(self.deployment_id, ref.replica)
                deps.logs.seen(seen)
                deps.usage.seen(seen)
            if not self._process:
                await self._draining.wait_unlisted()
            elif deps.desired.is_stopped(self._owner_id) and await deps.runtime.list_instances(self._owner_id):
                return Result(WEB_ENDS_S)  # web may still give it work
            await self._draining.delete(found)
        for instance in list(self.instances.values()):
            self._gone(instance.replica, instance.name)
        self._replicas.forget_all()
        if not self._process:
            deps.endpoints.remove(self.deployment_id)
        deps.desired.forget_stopped(self.deployment_id)
        return Result(is_done=True)

    def _gone(self, replica: int, name: str) -> None:
        self._surplus.pop(replica, None)
        self._replicas.end(replica)
        self.instances.pop(replica, None)
        self._publisher.report_stopped(replica, name)

    def _log_fault(self, error: Exception) -> None:
        extra = fields(deployment_id=self.deployment_id, error=self._replicas.output.redacted(str(error)))
        if isinstance(error, Unavailable):
            log.warning("an engine call failed; trying again", extra=extra)
        else:
            log.error("a reconcile pass broke; trying again", exc_info=error, extra=extra)
