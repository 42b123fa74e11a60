"""One replica's part of a pass: observe, apply, judge, probe."""

import logging
from collections.abc import Callable

from pkg.desired.processes import split_workload
from pkg.errors import FailedPrecondition, Unavailable
from pkg.observability.logging import fields
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller import app_output
from svc.krane.controller.app_output import AppOutput
from svc.krane.controller.backoff import Retries
from svc.krane.controller.deps import KraneDeps
from svc.krane.controller.draining import InstanceDrains
from svc.krane.controller.instance import Exit, Instance, start_timeout_reason
from svc.krane.controller.port_search import PortSearches, asked_path, never_reached
from svc.krane.controller.probe_tasks import ProbeTasks
from svc.krane.controller.probes import ProbeResult
from svc.krane.controller.publishing import Publisher
from svc.krane.controller.reasons import start_failure, start_failure_code
from svc.krane.controller.start_timings import StartTimings
from svc.krane.controller.topology import HealthRule
from svc.krane.controller.workqueue import Result
from svc.krane.runtime.port import DeploymentSpec, InstanceStatus, Observation, PendingError

log = logging.getLogger(__name__)

RECHECK_S = 5.0  # should an event be lost while an instance starts
PENDING_RETRY_S = 1.0
RESTART_RETRY_S = (1.0, 60.0)


class ReplicaReconciler:
    """Reconciles all replicas of one deployment; what it knows of each is in the `Instance`.

    Attributes:
        drains: when instances that left the ingress may end.

    Args:
        requeue: asks for another pass of the deployment.
        on_observed: called whenever an instance was observed, with the port that is probed.
    """

    def __init__(
        self,
        deployment_id: str,
        deps: KraneDeps,
        start_timings: StartTimings,
        publisher: Publisher,
        requeue: Callable[[], None],
        on_observed: Callable[[int], None],
    ) -> None:
        self._deployment_id = deployment_id
        self._deps = deps
        self._start_timings = start_timings
        self._publisher = publisher
        self._requeue = requeue
        self._on_observed = on_observed
        self._probing = ProbeTasks(lambda: deps.desired.probe_hosts(deployment_id), deps.monotonic)
        self._ports = PortSearches(deps.runtime)
        self._replacements = Retries(*deps.retry_s)
        self._restarts = Retries(*RESTART_RETRY_S)
        self._has_served = False
        self._replaced: int | None = None
        self.output = AppOutput(deps.runtime)
        self.drains = InstanceDrains(deps, has_requests=not split_workload(deployment_id)[1])

    async def reconcile(
        self, instance: Instance, spec: DeploymentSpec, rule: HealthRule, topology: pb.Topology
    ) -> Result:
        """Brings one instance nearer to what is wanted. Raises Unavailable."""
        if instance.is_leaving and (pause := await self._end_to_make_again(instance)) is not None:
            return pause
        if instance.overfull is not None:
            await self._end_overfull(instance, instance.overfull, rule)
        if self._has_to_be_replaced(instance):
            await self._replace_refusing(instance)
        if instance.failure:
            delay = self._replacement_due_s(instance)
            if delay is None or delay > 0:
                return Result(delay)
            await self._delete(instance, self._deps.stop_grace_s)
            instance.renew()
        if instance.seen is None and (held := instance.held_until - self._deps.monotonic()) > 0:
            return Result(held)
        try:
            instance.observed(await self._apply(instance, spec, rule, topology), self._deps.monotonic())
        except PendingError as error:
            instance.note, instance.waits_for = error.message, error.resource
            self._publisher.report(instance)
            return Result(PENDING_RETRY_S)
        except FailedPrecondition as error:
            instance.failure, instance.failure_code = error.message, error.code
            self._publisher.publish(instance, rule.port)
            return Result(self._replacement_due_s(instance))
        self._deps.logs.seen(instance.seen)
        self._deps.usage.seen(instance.seen)
        self._mark_observed(instance, rule)
        await self._judge(instance, rule)
        self._publisher.publish(instance, rule.port)
        if instance.failure:
            return Result(self._replacement_due_s(instance))
        return await self._tend(instance, spec, rule)

    def end(self, replica: int) -> None:
        """The replica is not wanted any more, and its instance is gone."""
        self._probing.end(replica)
        self._start_timings.forget(replica)
        if self._replaced == replica:
            self._replaced = None

    def forget_all(self) -> None:
        """Nothing of the deployment is left."""
        self._replacements.clear()
        self._has_served = False

    def close(self) -> None:
        """Stops probing, and ends the spans of starts."""
        self._probing.end_all()
        self._start_timings.close()

    async def _apply(
        self, instance: Instance, spec: DeploymentSpec, rule: HealthRule, topology: pb.Topology
    ) -> Observation:
        """What the runtime has made of the instance. What may pass is tried again, up to the start timeout."""
        is_there = True
        try:
            return await self._try(instance, spec, rule, topology)
        except Unavailable as error:
            is_there = _is_refusal(error)
            raise
        finally:
            self._start_timings.note_contact(instance.replica, is_there=is_there)

    async def _try(
        self, instance: Instance, spec: DeploymentSpec, rule: HealthRule, topology: pb.Topology
    ) -> Observation:
        runtime, is_live = self._deps.runtime, self._deps.desired.is_live(self._deployment_id)
        seen = await runtime.observe(self._deployment_id, instance.replica)
        if not _has_to_be_made(seen, spec):
            return await runtime.apply(spec, instance.replica, seen, is_live=is_live)
        if seen is None and instance.seen is not None:
            # it is gone, or takes no new requests any more: they go elsewhere while its successor is awaited
            self._probing.end(instance.replica)
            instance.observed(None, self._deps.monotonic())
            self._publisher.endpoints(rule.port)
        instance.made_for = spec.restart_generation
        self._mark_observed(instance, rule)
        self._publisher.report(instance)
        start = self._start_timings.begin(instance, topology.traceparent)
        try:
            return await runtime.apply(spec, instance.replica, seen, is_live=is_live)
        except Unavailable as error:
            instance.note = f"{error.message}; trying again"
            self._publisher.report(instance)
            if not _is_refusal(error):
                raise
            self._start_timings.note_contact(instance.replica, is_there=True)
            if self._start_timings.tried_s(start) >= rule.start_timeout_s:
                tried = f"not started within {rule.start_timeout_s:.0f} s: {error.message}"
                raise FailedPrecondition(error.code, tried) from error
            raise

    async def _judge(self, instance: Instance, rule: HealthRule) -> None:
        """Decides whether an instance that was just observed has failed, and reads what its app printed."""
        seen = instance.seen
        if not instance.failure and (unreachable := never_reached(instance, rule)):
            instance.failure, instance.failure_code = unreachable, "instance.not_healthy"
        if not instance.failure and self._is_overdue(instance, rule):
            instance.failure_code = "instance.not_healthy"
            ports = await self._ports.explain(instance, rule)
            instance.failure = start_timeout_reason(rule.start_timeout_s, instance.last_probe, ports)
        if not instance.failure:
            await self._read_output(instance, instance.last_exit, rule)
            return
        output, not_executed = await self.output.read(instance.name, asked_path(rule))
        if seen is not None and seen.status is InstanceStatus.EXITED:
            instance.failure = start_failure(seen, output, not_executed)
            instance.failure_code = start_failure_code(seen, not_executed, is_process=rule.stays_up_s > 0)
        instance.log_tail = app_output.shown(output)

    async def _tend(self, instance: Instance, spec: DeploymentSpec, rule: HealthRule) -> Result:
        """Keeps an instance that exists and has no failure going."""
        seen = instance.seen
        if seen is None:
            return Result()
        if instance.is_running:
            self._probing.keep(
                instance,
                rule,
                lambda result: self._probed(instance, result, rule),
                lambda hosts: self._refused(instance, rule, hosts),
            )
            if instance.is_answering and not seen.is_kept_running:
                await self._keep_running(instance, seen, spec)
            return Result(None if instance.was_healthy else RECHECK_S)
        self._probing.end(instance.replica)
        if seen.status is not InstanceStatus.EXITED:
            return Result(RECHECK_S)
        # A runtime does not restart what was stopped by hand; the desired state says that it runs.
        delay = self._restarts.wait_s(instance.replica)
        if delay == 0:
            await self._keep_running(instance, seen, spec)
            self._requeue()
        return Result(delay or None)

    async def _keep_running(self, instance: Instance, seen: Observation, spec: DeploymentSpec) -> None:
        is_live = self._deps.desired.is_live(self._deployment_id)
        try:
            kept = await self._deps.runtime.apply(spec, instance.replica, seen, is_live=is_live, keep_running=True)
        except PendingError as error:  # the next pass asks again
            instance.note = error.message
            self._requeue()
            return
        instance.observed(kept, self._deps.monotonic())

    async def _end_overfull(self, instance: Instance, ended: Exit, rule: HealthRule) -> None:
        """Kills and removes an instance that passed its bound of disk, so that this is free again."""
        await self._read_output(instance, ended, rule)
        self._probing.end(instance.replica)
        instance.is_answering = False
        self._publisher.endpoints(rule.port)
        log.warning("an instance is ended", extra=fields(instance_id=instance.name, reason=ended.reason))
        await self._delete(instance, 0)
        instance.ended_for_disk(self._deps.monotonic())
        self._publisher.publish(instance, rule.port)

    def _has_to_be_replaced(self, instance: Instance) -> bool:
        """Whether it refuses connections for good, and no other replica is being replaced for that.

        An engine whose containers were all killed behind its back may continue to report that they run.
        """
        is_next = self._replaced in (None, instance.replica)
        return is_next and instance.refuses_for_good(self._deps.monotonic())

    async def _replace_refusing(self, instance: Instance) -> None:
        log.warning("an instance runs but refuses connections; replacing it", extra=fields(instance_id=instance.name))
        self._replaced = instance.replica
        self._probing.end(instance.replica)
        await self._delete(instance, self._deps.stop_grace_s)
        instance.replaced_for_refusing(self._deps.monotonic())

    async def _end_to_make_again(self, instance: Instance) -> Result | None:
        """Ends an instance that left the ingress, for a restart; None once it is gone."""
        seen = instance.seen
        if seen is None:
            return None
        if (left_s := self.drains.left_s(instance.name, seen.address)) > 0:
            return Result(left_s)
        log.info("ending an instance to make it again", extra=fields(instance_id=instance.name))
        self._probing.end(instance.replica)
        await self._delete(instance, self._deps.stop_grace_s)
        found = await self._deps.runtime.observe(self._deployment_id, instance.replica)
        if found is not None and found.uid == seen.uid:
            return Result(RECHECK_S)  # another krane leads
        instance.renew()
        instance.note = "it is being made again, for a restart"
        self._replacements.reset(instance.replica)
        return None

    async def _delete(self, instance: Instance, grace_s: int) -> None:
        """Another instance takes its place."""
        await self._deps.runtime.delete(self._deployment_id, instance.name, grace_s=grace_s, is_replaced=True)

    async def _read_output(self, instance: Instance, ended: Exit | None, rule: HealthRule) -> None:
        if ended is not None and ended.output is None:
            output, _ = await self.output.read(instance.name, rule.path)
            ended.output = app_output.shown(output)

    def _mark_observed(self, instance: Instance, rule: HealthRule) -> None:
        instance.was_observed = True
        self._on_observed(rule.port)

    def _is_overdue(self, instance: Instance, rule: HealthRule) -> bool:
        """Not healthy in time, and asked at least once. A process that is up has its own time."""
        if rule.stays_up_s or instance.was_healthy or instance.last_probe is None or not instance.is_running:
            return False
        return self._deps.monotonic() - instance.running_since >= rule.start_timeout_s

    def _replacement_due_s(self, instance: Instance) -> float | None:
        """Seconds until a failed instance is replaced; None: never.

        During a deploy the verdict stands. What serves, or did, has to be healed.
        """
        return self._replacements.wait_s(instance.replica) if self._is_serving else None

    @property
    def _is_serving(self) -> bool:
        """Whether users are sent here, or were."""
        return self._has_served or self._deps.desired.is_routed(self._deployment_id)

    def _probed(self, instance: Instance, result: ProbeResult, rule: HealthRule) -> None:
        if instance.failure:
            return
        instance.probed(result, self._deps.monotonic())
        if result.is_ok:
            if self._replaced == instance.replica:
                self._replaced = None
            self._ports.answered(instance, rule)
            self._has_served = True
            self._replacements.reset(instance.replica)
            self._restarts.reset(instance.replica)
        elif result.is_foreign:
            instance.port_notice = result.text
        is_new = result.is_ok and instance.seen is not None and not instance.seen.is_kept_running
        if is_new or result.is_final or self._is_overdue(instance, rule) or self._has_to_be_replaced(instance):
            self._requeue()
        self._publisher.publish(instance, rule.port)

    async def _refused(self, instance: Instance, rule: HealthRule, hosts: tuple[str, ...]) -> None:
        """Nothing listens where it is expected: perhaps it does elsewhere."""
        if not instance.failure and await self._ports.refused(instance, rule, hosts):
            self._publisher.report(instance)
            if instance.is_unreachable:
                self._requeue()


def _is_refusal(error: Unavailable) -> bool:
    """Whether the engine has answered, and could not start the instance."""
    return error.code.startswith("instance.")


def _has_to_be_made(seen: Observation | None, spec: DeploymentSpec) -> bool:
    """Whether to apply the spec makes another instance, or starts one for the first time."""
    return seen is None or seen.revision != spec.revision or seen.status is InstanceStatus.CREATED or seen.is_broken
