"""What the cluster has of one installation and region, kept equal by two watches, and what happens to it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from lightkube.resources.apps_v1 import StatefulSet as StatefulSetKind
from lightkube.resources.core_v1 import Pod as PodKind

from pkg.errors import Unavailable
from svc.krane.ingress.broadcast import Broadcast
from svc.krane.runtime.kubernetes import identity as names
from svc.krane.runtime.kubernetes import pods
from svc.krane.runtime.kubernetes.api import UNAVAILABLE, ApiError, KubeApi
from svc.krane.runtime.kubernetes.identity import Identity
from svc.krane.runtime.kubernetes.pods import PodHistory
from svc.krane.runtime.kubernetes.reflector import Reflector
from svc.krane.runtime.kubernetes.wire import Pod, StatefulSet
from svc.krane.runtime.port import EventKind, InstanceEvent, instance_name

MAX_EVENTS = 5000  # that wait to be taken; those beyond are dropped, and the next resync finds what they reported
STALE_S = 20.0  # without a connection; from then on nobody takes what is known for what is

MAX_GONE = 1000  # objects that are known to be gone, should the answer of an earlier write come later

T = TypeVar("T")


class ClusterCache:
    """Pods and StatefulSets with exactly our labels. Methods that read raise Unavailable while it is not up to date.

    What `put_*` brings, the answer of a write, is known at once; an older state that the watch brings later is dropped.
    """

    def __init__(self, api: KubeApi, identity: Identity) -> None:
        self._identity = identity
        self._pods: dict[str, Pod] = {}
        self._jobs: dict[str, Pod] = {}
        self._histories: dict[str, PodHistory] = {}
        self._sets: dict[str, StatefulSet] = {}
        self._names_of: dict[str, set[str]] = {}
        self._changed: dict[str, Broadcast] = {}
        self._gone: dict[str, None] = {}
        self._events: asyncio.Queue[InstanceEvent] = asyncio.Queue(MAX_EVENTS)
        self._pod_watch = Reflector(api, PodKind, Pod, identity.selector, self._all_pods, self._one_pod)
        self._set_watch = Reflector(api, StatefulSetKind, StatefulSet, identity.selector, self._all_sets, self._one_set)
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Lists everything, and follows it from then on. Idempotent. Raises Unavailable."""
        if self._tasks:
            return
        await self.relist()
        self._tasks = [
            asyncio.create_task(self._set_watch.run(), name="watch the StatefulSets"),
            asyncio.create_task(self._pod_watch.run(), name="watch the Pods"),
        ]

    async def relist(self) -> None:
        """Lists everything. Raises Unavailable."""
        try:
            await self._set_watch.list_all()
            await self._pod_watch.list_all()
        except ApiError as error:
            said = f"the API server shows no StatefulSets and Pods; is krane's role complete? ({error})"
            raise Unavailable(UNAVAILABLE, said) from error

    async def close(self) -> None:
        """Stops following. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def must_be_current(self) -> None:
        """Raises Unavailable while it was never filled, or has no connection to the server for too long."""
        if not (self._pod_watch.synced.is_set() and self._set_watch.synced.is_set()):
            raise Unavailable(UNAVAILABLE, "the API server was not reached yet")
        lost_s = max(self._pod_watch.lost_s, self._set_watch.lost_s)
        if lost_s > STALE_S:
            raise Unavailable(UNAVAILABLE, f"the API server does not answer since {lost_s:.0f} s")

    def pod(self, deployment_id: str, replica: int) -> Pod | None:
        """The Pod of an instance."""
        self.must_be_current()
        return self._pods.get(instance_name(deployment_id, replica))

    def pod_named(self, name: str) -> Pod | None:
        """The Pod of an instance, or of a job."""
        self.must_be_current()
        return self._pods.get(name) or self._jobs.get(name)

    def job(self, name: str) -> Pod | None:
        """The Pod of a job."""
        self.must_be_current()
        return self._jobs.get(name)

    def jobs(self) -> Sequence[Pod]:
        """The Pods of all jobs. `until` waits for their changes with "" for the deployment."""
        self.must_be_current()
        return list(self._jobs.values())

    def history(self, pod: Pod) -> PodHistory:
        """What was seen of it before."""
        return self._histories.get(pod.metadata.uid) or PodHistory().with_state(pod, time.monotonic())

    def pods_of(self, deployment_id: str | None = None) -> Sequence[Pod]:
        """The Pods of one deployment, or all."""
        self.must_be_current()
        if deployment_id is None:
            return list(self._pods.values())
        return [self._pods[name] for name in sorted(self._names_of.get(deployment_id, ()))]

    def stateful_set(self, deployment_id: str) -> StatefulSet | None:
        """The StatefulSet of a deployment."""
        self.must_be_current()
        return self._sets.get(deployment_id)

    def stateful_sets(self, deployment_id: str | None = None) -> Sequence[StatefulSet]:
        """The one of a deployment, if there is one, or all."""
        self.must_be_current()
        if deployment_id is None:
            return list(self._sets.values())
        return [self._sets[deployment_id]] if deployment_id in self._sets else []

    def put_set(self, found: StatefulSet) -> None:
        """Takes the answer of a write."""
        if found.metadata.uid not in self._gone:
            self._one_set(found, False)

    def put_pod(self, found: Pod) -> None:
        """Takes the answer of a write."""
        if found.metadata.uid not in self._gone:
            self._one_pod(found, False)

    async def until(self, deployment_id: str, found: Callable[[], T | None], timeout_s: float) -> T | None:
        """What `found` answers as soon as that is not None, asked whenever something of the deployment has changed."""
        try:
            async with asyncio.timeout(timeout_s):
                while (it := found()) is None:
                    await self._changed.setdefault(deployment_id, Broadcast()).wait()
                return it
        except TimeoutError:
            return found()

    async def events(self) -> AsyncIterator[InstanceEvent]:
        """What happens to our instances."""
        while True:
            yield await self._events.get()

    def tell(self, event: InstanceEvent) -> None:
        """Adds an event."""
        if not self._events.full():
            self._events.put_nowait(event)

    def _all_pods(self, found: Sequence[Pod]) -> None:
        named = {pod.metadata.name for pod in found}
        for pod in [pod for name, pod in {**self._pods, **self._jobs}.items() if name not in named]:
            self._drop_pod(pod)
        for pod in found:
            self._keep_pod(pod)

    def _one_pod(self, pod: Pod, is_gone: bool) -> None:
        known = self._pods.get(pod.metadata.name) or self._jobs.get(pod.metadata.name)
        if is_gone:
            self._remember_gone(pod.metadata.uid)
            if known is not None and known.metadata.uid == pod.metadata.uid:
                self._drop_pod(known)
        elif known is None or not _is_newer(known.metadata.resource_version, pod.metadata.resource_version):
            self._keep_pod(pod)

    def _keep_pod(self, pod: Pod) -> None:
        if not self._identity.owns(pod.metadata.labels):
            return
        if pods.is_job(pod, self._identity):
            self._keep_job(pod)
            return
        if not pods.is_instance(pod, self._identity):
            return
        name, uid = pod.metadata.name, pod.metadata.uid
        before = self._pods.get(name)
        if before is not None and before.metadata.uid != uid:
            self._histories.pop(before.metadata.uid, None)
        deployment_id = pods.deployment_of(pod.metadata.labels)
        self._pods[name] = pod
        self._histories[uid] = self._histories.get(uid, PodHistory()).with_state(pod, time.monotonic())
        self._names_of.setdefault(deployment_id, set()).add(name)
        told = list(pods.events(before, pod))
        for event in told:
            self.tell(event)
        self._notify(deployment_id)

    def _keep_job(self, pod: Pod) -> None:
        name, uid = pod.metadata.name, pod.metadata.uid
        before = self._jobs.get(name)
        if before is not None and before.metadata.uid != uid:
            self._histories.pop(before.metadata.uid, None)
        self._jobs[name] = pod
        self._histories[uid] = self._histories.get(uid, PodHistory()).with_state(pod, time.monotonic())
        self._notify("")

    def _drop_pod(self, pod: Pod) -> None:
        if self._jobs.pop(pod.metadata.name, None) is not None:
            self._histories.pop(pod.metadata.uid, None)
            self._notify("")
            return
        name, deployment_id = pod.metadata.name, pods.deployment_of(pod.metadata.labels)
        self._pods.pop(name, None)
        self._histories.pop(pod.metadata.uid, None)
        self._forget_name(deployment_id, name)
        self.tell(InstanceEvent(EventKind.CHANGED, deployment_id, name))
        self._notify(deployment_id)

    def _forget_name(self, deployment_id: str, name: str) -> None:
        known = self._names_of.get(deployment_id)
        if known is not None:
            known.discard(name)
            if not known:
                del self._names_of[deployment_id]

    def _remember_gone(self, uid: str) -> None:
        self._gone[uid] = None
        if len(self._gone) > MAX_GONE:
            del self._gone[next(iter(self._gone))]

    def _all_sets(self, found: Sequence[StatefulSet]) -> None:
        before = self._sets
        self._sets = {pods.deployment_of(one.metadata.labels): one for one in found if self._is_set(one)}
        for deployment_id, one in self._sets.items():
            self._tell_of_scaling(deployment_id, before.get(deployment_id), one)
        for deployment_id in list(self._changed):
            self._notify(deployment_id)

    def _one_set(self, found: StatefulSet, is_gone: bool) -> None:
        deployment_id = pods.deployment_of(found.metadata.labels)
        known = self._sets.get(deployment_id)
        if is_gone:
            self._remember_gone(found.metadata.uid)
            if known is not None and known.metadata.uid == found.metadata.uid:
                del self._sets[deployment_id]
                self.tell(InstanceEvent(EventKind.CHANGED, deployment_id))
        elif self._is_set(found) and (
            known is None or not _is_newer(known.metadata.resource_version, found.metadata.resource_version)
        ):
            self._sets[deployment_id] = found
            self._tell_of_scaling(deployment_id, known, found)
        self._notify(deployment_id)

    def _tell_of_scaling(self, deployment_id: str, before: StatefulSet | None, now: StatefulSet) -> None:
        if before is not None and before.spec.replicas != now.spec.replicas:
            self.tell(InstanceEvent(EventKind.CHANGED, deployment_id))

    def _is_set(self, found: StatefulSet) -> bool:
        """A StatefulSet with our labels under another name is none of ours."""
        labels = found.metadata.labels
        workspace_id = labels.get(names.LABEL_WORKSPACE, "")
        return (
            self._identity.owns(labels)
            and found.metadata.name == names.set_name(pods.deployment_of(labels))
            and found.metadata.namespace == self._identity.namespace(workspace_id)
        )

    def _notify(self, deployment_id: str) -> None:
        waiting = self._changed.get(deployment_id)
        if waiting is not None:
            waiting.notify()
            if deployment_id not in self._sets and deployment_id not in self._names_of:
                self._changed.pop(deployment_id, None)


def _is_newer(known: str, other: str) -> bool:
    """Whether a version that is known is newer than another one. Versions of one kind are numbers that grow."""
    return known.isdecimal() and other.isdecimal() and int(known) > int(other)
