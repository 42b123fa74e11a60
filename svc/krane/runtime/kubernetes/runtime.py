"""`KubernetesRuntime`: instances as Pods of a cluster."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from lightkube.config.kubeconfig import SingleConfig
from lightkube.resources.core_v1 import Pod as PodKind

from pkg.errors import FailedPrecondition, Unavailable
from pkg.images import ImageRef, StoredImage
from pkg.images.config import Images, RegistryLogin
from pkg.observability.logging import fields
from svc.krane.config import KraneConfig
from svc.krane.runtime.execs import ExecProcess, ExecSpec
from svc.krane.runtime.kubernetes import api as api_server
from svc.krane.runtime.kubernetes import failures, objects, pods
from svc.krane.runtime.kubernetes import identity as names
from svc.krane.runtime.kubernetes.api import UNAVAILABLE, ApiError, KubeApi
from svc.krane.runtime.kubernetes.autoscaling import Autoscalers
from svc.krane.runtime.kubernetes.cache import ClusterCache
from svc.krane.runtime.kubernetes.endings import Endings
from svc.krane.runtime.kubernetes.exec import PodExecs
from svc.krane.runtime.kubernetes.exec_socket import ExecSockets
from svc.krane.runtime.kubernetes.identity import Identity
from svc.krane.runtime.kubernetes.jobs import JobPods
from svc.krane.runtime.kubernetes.logs import PodLogs
from svc.krane.runtime.kubernetes.objects import PodRules, Traffic
from svc.krane.runtime.kubernetes.registry_images import RegistryImages
from svc.krane.runtime.kubernetes.usage import PodUsage
from svc.krane.runtime.kubernetes.warning_events import WarningEvents
from svc.krane.runtime.kubernetes.wire import Pod
from svc.krane.runtime.kubernetes.workloads import Workloads
from svc.krane.runtime.kubernetes.workspaces import Workspaces
from svc.krane.runtime.port import (
    CandidatePorts,
    DeploymentSpec,
    EventKind,
    InstanceEvent,
    InstanceRef,
    InstanceStatus,
    InstanceUsage,
    JobObservation,
    JobRef,
    JobSpec,
    LogRecord,
    Observation,
    Output,
    PendingError,
    RuntimeContext,
    WantedReplicas,
    instance_name,
)

log = logging.getLogger(__name__)

APPEARS_S = 5.0  # until the Pod of a StatefulSet that was written is there, or the cluster has said why it is not
REPLACE_GRACE_S = 10
OUTPUT_LINES = 1000
# What apps without a set port mostly listen on, beside what their image EXPOSEs; see docs/subsystems/runtime.md.
USUAL_PORTS = (80, 3000, 5000, 8000, 8080)


class KubernetesRuntime:
    """The `Runtime` of one installation and region on one cluster. `open` comes first.

    Args:
        config: address and credentials of the API server.
        is_leader: whether this krane may write; one that may not says what there is.
    """

    def __init__(
        self,
        config: SingleConfig,
        identity: Identity,
        *,
        rules: PodRules = PodRules(),  # noqa: B008 - immutable
        traffic: Traffic = Traffic(),  # noqa: B008 - immutable
        logins: Sequence[RegistryLogin] = (),
        allowed: Images = Images(),  # noqa: B008 - immutable
        is_leader: Callable[[], bool] = lambda: True,
    ) -> None:
        self._identity = identity
        self._is_leader = is_leader
        self._api = KubeApi(config)
        self._cache = ClusterCache(self._api, identity)
        self._images = RegistryImages(logins, allowed)
        self._workspaces = Workspaces(self._api, identity, rules, traffic, logins)
        self._autoscalers = Autoscalers(self._api, identity, self._changed)
        self._workloads = Workloads(
            self._api, self._cache, identity, rules, self._workspaces, self._images, self._autoscalers
        )
        self._endings = Endings(self._api, self._cache, is_leader)
        self._warnings = WarningEvents(self._api)
        self._logs = PodLogs(self._api)
        self._jobs = JobPods(
            self._api, self._cache, identity, rules, self._workspaces, self._images, self._endings, self._warnings
        )
        self._exec_sockets = ExecSockets(config)
        self._execs = PodExecs(self._exec_sockets)
        self._usage = PodUsage(self._api, identity.selector)
        self._why_closed = "krane has not opened it yet"

    async def open(self) -> str:
        """See `Runtime.open`."""
        try:
            versions = await self._api.versions()
            self._workloads.use(versions)
            await self._workspaces.find_control_plane()
            await self._cache.open()
            await self._autoscalers.open(versions)
        except ApiError as error:
            self._why_closed = f"the API server refuses krane ({error})"
            raise Unavailable(UNAVAILABLE, self._why_closed) from error
        except Unavailable as error:
            self._why_closed = error.message
            raise
        self._why_closed = ""
        return versions.description

    async def check(self) -> str:
        """See `Runtime.check`. A server that shows krane nothing, as where its role is incomplete, is away, too."""
        return await self._api.why_away() or self._why_closed

    async def close(self) -> None:
        """See `Runtime.close`."""
        await self._exec_sockets.close()
        await self._autoscalers.close()
        await self._cache.close()
        await self._api.close()

    async def relist(self) -> None:
        """Lists everything again, as after a gap in what was followed. Raises Unavailable."""
        await self._cache.relist()

    async def wanted_replicas(self, spec: DeploymentSpec) -> WantedReplicas:
        """See `Runtime.wanted_replicas`. The autoscaler writes it into the StatefulSet."""
        if spec.bounds is None or not spec.replicas:
            return WantedReplicas(spec.replicas)
        notice = self._autoscalers.notice(spec.deployment_id)
        known = self._cache.stateful_set(spec.deployment_id)
        if not self._workloads.is_autoscaled(spec):
            return WantedReplicas(spec.replicas, notice)
        has_begun = known is not None and known.metadata.deletion_timestamp is None and known.spec.replicas > 0
        if known is None or not has_begun:
            return WantedReplicas(self._workloads.first_replicas(spec), notice, may_exceed=False)
        return WantedReplicas(spec.bounds.clamp(known.spec.replicas), notice, may_exceed=False)

    async def apply(
        self, spec: DeploymentSpec, replica: int, seen: Observation | None, *, is_live: bool, keep_running: bool = False
    ) -> Observation:
        """See `Runtime.apply`. The cluster's scheduler decides who comes first."""
        self._cache.must_be_current()
        if ImageRef.parse(spec.image_ref).is_on_engine:
            raise failures.image_on_engine(spec)
        if not self._is_leader():
            return await self._as_it_is(spec, replica)
        await self._workloads.ensure(spec, replica)
        pod = self._cache.pod(spec.deployment_id, replica)
        if pod is not None and pods.revision_of(pod) != spec.revision and not pods.is_ending(pod):
            log.info("replacing an instance whose settings changed", extra=fields(instance_id=pod.metadata.name))
            await self._endings.end(pod, REPLACE_GRACE_S)
            pod = None
        if keep_running and seen is not None and pod is not None and pod.metadata.uid == seen.uid:
            if not pods.has_ended(pod):
                return await self._keep_running(pod)
            # Not every StatefulSet controller makes another one for a Pod that "Succeeded" (kubernetes 124065).
            log.warning("replacing a Pod that ended as a whole", extra=fields(instance_id=pod.metadata.name))
            await self._endings.end(pod, 1)
            pod = None
        if pod is not None and pods.was_given_up(pod) and not pods.is_ending(pod):
            log.warning("a node has given an instance up", extra=fields(instance_id=pod.metadata.name))
            await self._endings.end(pod, 1)
            pod = None
        if pod is None or not (pods.is_scheduled(pod) or pods.scheduling(pod)):
            await self._appears(spec, replica)
        elif failures.lacks_variables(pod):
            await self._workloads.restore(spec)
        try:
            return await self._as_it_is(spec, replica)
        except FailedPrecondition as error:
            pod = self._cache.pod(spec.deployment_id, replica)
            if pod is None or error.code not in failures.MAY_LACK_LOGIN:
                raise
            if not await self._workspaces.restore_logins(spec.workspace_id):
                raise
            # Its next pull waits, and its status keeps the refusal until then.
            await self._endings.end(pod, REPLACE_GRACE_S)
            raise PendingError("", "the Secret with the logins of its registry was gone and is made again") from error

    async def delete(self, deployment_id: str, name: str, *, grace_s: int, is_replaced: bool = False) -> None:
        """See `Runtime.delete`."""
        self._cache.must_be_current()
        if not self._is_leader():
            return
        if not is_replaced:
            await self._workloads.remove(deployment_id, names.ordinal(name))
        pod = self._cache.pod_named(name)
        if pod is not None and pods.deployment_of(pod.metadata.labels) == deployment_id:
            await self._endings.end(pod, grace_s)

    async def observe(self, deployment_id: str, replica: int) -> Observation | None:
        """See `Runtime.observe`."""
        pod = self._cache.pod(deployment_id, replica)
        return None if pod is None else pods.observation(pod, self._cache.history(pod))

    async def list_instances(self, deployment_id: str | None = None) -> Sequence[InstanceRef]:
        """See `Runtime.list_instances`. Instances that the cluster is to make are among them, without an address."""
        found = {ref.name: ref for ref in map(pods.ref, self._cache.pods_of(deployment_id))}
        for one in self._cache.stateful_sets(deployment_id):
            owner = pods.deployment_of(one.metadata.labels)
            for replica in range(max(1, one.spec.replicas)):
                name = instance_name(owner, replica)
                found.setdefault(name, InstanceRef(name, owner, replica))
        return list(found.values())

    async def events(self) -> AsyncIterator[InstanceEvent]:
        """See `Runtime.events`. It does not end: what is missed while the server is away is found by a new list."""
        async for event in self._cache.events():
            yield event

    async def output(self, name: str) -> Output:
        """See `Runtime.output`. Of the app that ended last, where one was started again since."""
        pod = self._cache.pod_named(name)
        if pod is None:
            return Output()
        end = pod.container.last_state.terminated
        is_previous = end is not None and (not pods.was_healthy(pod) or pod.container.state.running is not None)
        try:
            text = await self._printed(pod, is_previous=is_previous)
        except (ApiError, Unavailable) as error:
            if end is None or not end.message:
                raise Unavailable(UNAVAILABLE, f"the output of {name} can't be read: {error}") from error
            text = end.message
        return Output(text)

    async def logs(self, name: str, uid: str, since_s: int) -> AsyncGenerator[list[LogRecord]]:
        """See `Runtime.logs`."""
        pod = self._cache.pod_named(name)
        if pod is None or pod.metadata.uid != uid:
            return
        async with aclosing(self._logs.follow(pod, since_s)) as chunks:
            async for records in chunks:
                yield records

    async def exec(self, name: str, uid: str, spec: ExecSpec) -> ExecProcess:
        """See `Runtime.exec`. Of a Pod that is ending, too."""
        pod = self._cache.pod_named(name)
        if pod is None or pod.metadata.uid != uid or pod.container.state.running is None:
            raise FailedPrecondition("exec.not_running", f"the instance {name} does not run")
        return await self._execs.start(pod, spec)

    async def usage(self) -> Sequence[InstanceUsage]:
        """See `Runtime.usage`."""
        return await self._usage.of(list(self._cache.pods_of()))

    async def candidate_ports(self, seen: Observation) -> CandidatePorts:
        """See `Runtime.candidate_ports`. Sockets of a Pod can't be seen."""
        pod = self._cache.pod_named(seen.name)
        if pod is None or not pod.spec.app.image:
            return CandidatePorts(exposed=USUAL_PORTS)
        facts = await self._images.facts(pod.spec.app.image)
        return CandidatePorts(exposed=facts.exposed or USUAL_PORTS)

    async def start_job(self, spec: JobSpec) -> JobObservation:
        """See `Runtime.start_job`."""
        if not self._is_leader():
            raise PendingError("", "the leading krane has not made it yet")
        return await self._jobs.start(spec)

    async def observe_job(self, spec: JobSpec) -> JobObservation | None:
        """See `Runtime.observe_job`."""
        return await self._jobs.observe(spec)

    async def stop_job(self, spec: JobSpec, *, grace_s: int) -> None:
        """See `Runtime.stop_job`. The grace is that of its Pod, 10 s."""
        if self._is_leader():
            await self._jobs.stop(spec)

    async def list_jobs(self) -> Sequence[JobRef]:
        """See `Runtime.list_jobs`."""
        return self._jobs.list_jobs()

    async def remove_job(self, job_id: str) -> None:
        """See `Runtime.remove_job`."""
        if self._is_leader():
            await self._jobs.remove(job_id)

    async def list_images(self) -> Sequence[StoredImage]:
        """See `Runtime.list_images`. The nodes remove images by themselves."""
        return []

    async def delete_image(self, image: StoredImage) -> bool:
        """See `Runtime.delete_image`."""
        return True

    async def collect_garbage(self) -> None:
        """See `Runtime.collect_garbage`. What belongs to a StatefulSet goes with it; namespaces stay."""
        self._warnings.forget_others({pod.metadata.uid for pod in [*self._cache.pods_of(), *self._cache.jobs()]})
        if self._is_leader():
            await self._workspaces.ensure_all(self._workloads.workspaces_in_use())
            await self._workloads.delete_old_variables()

    async def _printed(self, pod: Pod, *, is_previous: bool) -> str:
        meta = pod.metadata
        return await self._api.output(
            meta.name, meta.namespace, objects.CONTAINER, OUTPUT_LINES, is_previous=is_previous
        )

    def _changed(self, deployment_id: str) -> None:
        self._cache.tell(InstanceEvent(EventKind.CHANGED, deployment_id))

    async def _as_it_is(self, spec: DeploymentSpec, replica: int) -> Observation:
        """What there is; raises why it is not there, or does not start."""
        pod = self._cache.pod(spec.deployment_id, replica)
        if pod is None:
            raise await self._why_missing(spec)
        if pods.is_ending(pod):
            await self._endings.give_up_if_lost(pod)
            raise PendingError("", f"the Pod of before is ending on node {pod.spec.node_name or 'none'}")
        if not pods.is_scheduled(pod):
            raise failures.not_scheduled(pod)
        if pods.was_given_up(pod):
            raise failures.given_up(pod)
        history = self._cache.history(pod)
        seen = pods.observation(pod, history)
        assert seen is not None
        if seen.status is InstanceStatus.CREATED:
            username = self._images.username(ImageRef.parse(spec.image_ref))
            warnings = await self._warnings.about_pod(pod) if failures.waits_silently(pod, history) else ()
            problem = failures.not_started(pod, history, spec, username, warnings)
            if problem is not None:
                raise problem
        return seen

    async def _appears(self, spec: DeploymentSpec, replica: int) -> None:
        """Waits a moment until the cluster has made the Pod and chosen a node, or has said why not."""

        def found() -> Pod | None:
            pod = self._cache.pod(spec.deployment_id, replica)
            is_placed = pod is not None and (pods.is_scheduled(pod) or pods.scheduling(pod) is not None)
            return pod if pod is not None and is_placed and not pods.is_ending(pod) else None

        await self._cache.until(spec.deployment_id, found, APPEARS_S)

    async def _keep_running(self, pod: Pod) -> Observation:
        if not pods.was_healthy(pod):
            meta = pod.metadata
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            condition = {"type": names.CONDITION_HEALTHY, "status": "True", "lastTransitionTime": now}
            change = {"metadata": {"uid": meta.uid}, "status": {"conditions": [condition]}}
            try:
                written = await self._api.patch(PodKind, meta.name, meta.namespace, change, Pod, "status")
            except ApiError as error:
                raise failures.refusal(error, f"the status of Pod {meta.name}") from error
            if written is None:
                raise Unavailable(UNAVAILABLE, f"Pod {meta.name} was gone; trying again")
            self._cache.put_pod(written)
            pod = written
        seen = pods.observation(pod, self._cache.history(pod))
        if seen is None:
            raise PendingError("", f"Pod {pod.metadata.name} is ending")
        return seen

    async def _why_missing(self, spec: DeploymentSpec) -> Exception:
        known = self._cache.stateful_set(spec.deployment_id)
        if known is None:
            return PendingError("", "the leading krane has not made it yet")
        return failures.not_made(await self._warnings.about(known.metadata.uid, known.metadata.namespace))


def make(config: KraneConfig, context: RuntimeContext) -> KubernetesRuntime:
    """The runtime of `[kubernetes]`. Raises ConfigError when there is no login to a cluster."""
    settings = config.kubernetes
    ingress_namespace = settings.ingress_namespace or api_server.own_namespace()
    if not ingress_namespace and not settings.ingress_ranges:
        log.warning(
            "the NetworkPolicy of the instances lets nobody in, also not this krane and its ingress: set [kubernetes] "
            "ingress_ranges to this machine's address, as the nodes see it"
        )
    labels = tuple(label.split("=", 1) for label in settings.ingress_pods)
    return KubernetesRuntime(
        api_server.login(settings),
        Identity(context.installation_id, config.region, settings.namespace_prefix),
        rules=PodRules(
            security=settings.security,
            is_root_read_only=settings.read_only_root,
            runtime_class=settings.runtime_class,
            cpu_request_percent=settings.cpu_request_percent,
        ),
        traffic=Traffic(
            ingress_namespace=ingress_namespace,
            ingress_pod_labels=tuple((name, value) for name, value in labels),
            ingress_ranges=settings.ingress_ranges,
            denied_ranges=settings.egress_denied,
        ),
        logins=config.registries,
        allowed=config.images,
        is_leader=context.is_leader,
    )
