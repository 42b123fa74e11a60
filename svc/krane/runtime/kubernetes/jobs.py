"""Pods of jobs: made once, never started again by their node, watched, ended, removed.

A Pod of no StatefulSet, of the job's name, so a second creation meets the first one. Its Secret with the variables is
made after it and belongs to it: whenever krane ends in between, nothing is left that nobody removes. To end one, its
deadline is set to now: the node ends the app, and the Pod stays, which a deletion would take away with how it ended.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lightkube.core.resource import Resource
from lightkube.resources.core_v1 import Pod as PodKind
from lightkube.resources.core_v1 import Secret

from pkg.desired.jobs import AWAY_BOUND_S, MAX_RUN_TIMEOUT_S, START_BOUND_S, job_name
from pkg.errors import Unavailable
from pkg.images import ImageRef
from pkg.observability.logging import fields
from pkg.output.text import printable
from svc.krane.runtime.kubernetes import failures, objects, pods
from svc.krane.runtime.kubernetes import identity as names
from svc.krane.runtime.kubernetes.api import UNAVAILABLE, ApiError, KubeApi
from svc.krane.runtime.kubernetes.cache import ClusterCache
from svc.krane.runtime.kubernetes.endings import Endings
from svc.krane.runtime.kubernetes.identity import Identity
from svc.krane.runtime.kubernetes.objects import PodRules
from svc.krane.runtime.kubernetes.registry_images import RegistryImages
from svc.krane.runtime.kubernetes.warning_events import WarningEvents
from svc.krane.runtime.kubernetes.wire import Pod
from svc.krane.runtime.kubernetes.workspaces import Workspaces
from svc.krane.runtime.port import InstanceStatus, JobObservation, JobRef, JobSpec, Observation, PendingError
from svc.krane.runtime.refusals import MAX_SAID_CHARS

log = logging.getLogger(__name__)

APPEARS_S = 5.0  # until the watch shows a Pod that was made
# Ends it when no krane is there to do so, ever.
LAST_DEADLINE_S = START_BOUND_S + MAX_RUN_TIMEOUT_S + AWAY_BOUND_S
_DEADLINE = "DeadlineExceeded"
_KILLED = 137


class JobPods:
    """The jobs of one region on one cluster. Only a leading krane calls what writes."""

    def __init__(
        self,
        api: KubeApi,
        cache: ClusterCache,
        identity: Identity,
        rules: PodRules,
        workspaces: Workspaces,
        images: RegistryImages,
        endings: Endings,
        warnings: WarningEvents,
    ) -> None:
        self._api = api
        self._cache = cache
        self._identity = identity
        self._rules = rules
        self._workspaces = workspaces
        self._images = images
        self._endings = endings
        self._warnings = warnings

    async def start(self, spec: JobSpec) -> JobObservation:
        """See `Runtime.start_job`."""
        self._cache.must_be_current()
        if ImageRef.parse(spec.of.image_ref).is_on_engine:
            raise failures.image_on_engine(spec.of)
        pod = self._cache.job(job_name(spec.job_id))
        try:
            if pod is None:
                pod = await self._make(spec)
            if pods.is_ending(pod):
                raise PendingError("", f"the Pod of before is ending on node {pod.spec.node_name or 'none'}")
            if pod.status.phase in ("", "Pending"):
                await self._make_variables(spec, pod)
        except ApiError as error:
            self._workspaces.forget(spec.of.workspace_id)
            raise failures.refusal(error, f"Pod {job_name(spec.job_id)}") from error
        pod = self._cache.job(job_name(spec.job_id)) or pod
        found = self._observation(pod)
        if found.seen.status is InstanceStatus.CREATED:
            await self._raise_problem(spec, pod)
        return found

    async def observe(self, spec: JobSpec) -> JobObservation | None:
        """See `Runtime.observe_job`. One that is being removed does not exist."""
        pod = self._cache.job(job_name(spec.job_id))
        return None if pod is None or pods.is_ending(pod) else self._observation(pod)

    async def stop(self, spec: JobSpec) -> None:
        """See `Runtime.stop_job`. Killed after the grace period of its Pod."""
        pod = self._cache.job(job_name(spec.job_id))
        if pod is None or pods.is_ending(pod) or pods.has_ended(pod):
            return
        meta = pod.metadata
        log.info("ending a job", extra=fields(instance_id=meta.name, node=pod.spec.node_name))
        change = {"metadata": {"uid": meta.uid}, "spec": {"activeDeadlineSeconds": 1}}
        try:
            await self._api.patch(PodKind, meta.name, meta.namespace, change, Pod)
        except ApiError as error:
            raise failures.refusal(error, f"Pod {meta.name}") from error

    async def remove(self, job_id: str) -> None:
        """See `Runtime.remove_job`."""
        pod = self._cache.job(job_name(job_id))
        if pod is not None:
            await self._endings.end(pod, objects.STOP_GRACE_S if not pods.has_ended(pod) else 1)

    def list_jobs(self) -> Sequence[JobRef]:
        """See `Runtime.list_jobs`."""
        return [
            JobRef(
                labels[names.LABEL_JOB],
                labels.get(names.LABEL_ENVIRONMENT, ""),
                labels.get(names.LABEL_JOB_KIND) == names.RELEASE,
            )
            for labels in (pod.metadata.labels for pod in self._cache.jobs())
        ]

    async def _make(self, spec: JobSpec) -> Pod:
        name = job_name(spec.job_id)
        await self._workspaces.ensure(spec.of.workspace_id)
        image = await self._images.pinned(spec.of.image_ref)
        facts = await self._images.facts(image)
        wanted = job_pod(
            spec,
            self._identity,
            self._rules,
            image,
            has_logins=self._workspaces.has_logins,
            is_non_root=facts.is_non_root,
        )
        try:
            await self._api.create(wanted)
        except ApiError as error:
            if error.code != 409:
                raise
        made = await self._cache.until("", lambda: self._cache.job(name), APPEARS_S)
        if made is None:
            raise Unavailable(UNAVAILABLE, f"Pod {name} was made and is not shown yet; trying again")
        return made

    async def _make_variables(self, spec: JobSpec, pod: Pod) -> None:
        """Without them the node does not start it."""
        try:
            await self._api.create(job_variables(spec, self._identity, pod.metadata.uid))
        except ApiError as error:
            if error.code != 409:
                raise

    async def _raise_problem(self, spec: JobSpec, pod: Pod) -> None:
        """Raises why it does not run yet, where that is known."""
        if not pods.is_scheduled(pod):
            if pods.scheduling(pod) is not None:
                raise failures.not_scheduled(pod)
            return
        history = self._cache.history(pod)
        warnings = await self._warnings.about_pod(pod) if failures.waits_silently(pod, history) else ()
        username = self._images.username(ImageRef.parse(spec.of.image_ref))
        if failures.lacks_variables(pod):
            return
        if (problem := failures.not_started(pod, history, spec.of, username, warnings)) is not None:
            raise problem

    def _observation(self, pod: Pod) -> JobObservation:
        """Pure but for the cache. What its node has ended has an end, whether or not the node says the exit code."""
        end, running = pod.container.state.terminated, pod.container.state.running
        status, exit_code, reason = InstanceStatus.CREATED, 0, ""
        if pods.has_ended(pod) or (end is not None and not pods.could_not_start(end)):
            status = InstanceStatus.EXITED
            exit_code = end.exit_code if end is not None else 0 if pod.status.phase == "Succeeded" else _KILLED
            if end is not None and end.reason == "OOMKilled":
                reason = "it ran out of memory"
            elif end is not None and pods.could_not_start(end):
                reason = printable(end.message, MAX_SAID_CHARS)
            elif pod.status.reason and pod.status.reason != _DEADLINE:
                reason = f"its node ended it ({pod.status.reason}: {pod.status.message[:200]})"
        elif running is not None:
            status = InstanceStatus.RUNNING
        started = running.started_at if running is not None else end.started_at if end is not None else None
        limits = pod.spec.app.resources.limits
        return JobObservation(
            Observation(
                name=pod.metadata.name,
                uid=pod.metadata.uid,
                deployment_id=pod.metadata.annotations.get(names.ANNOTATION_JOB_DEPLOYMENT, ""),
                replica=0,
                status=status,
                exit_code=exit_code,
                out_of_memory=bool(reason) and end is not None and end.reason == "OOMKilled",
                started_at_ms=_epoch_ms(started) or (1 if status is InstanceStatus.EXITED else 0),
                memory_mib=pods.bytes_of(str(limits.get("memory", "0"))) // pods.MIB,
                command=pod.spec.app.args,
            ),
            ended_at_ms=(_epoch_ms(end.finished_at) if end is not None else 0)
            or (1 if status is InstanceStatus.EXITED else 0),
            reason=reason,
            has_expired=pod.status.reason == _DEADLINE,
        )


def job_pod(
    spec: JobSpec, identity: Identity, rules: PodRules, image: str, *, has_logins: bool, is_non_root: bool
) -> Resource:
    """As an instance's Pod, with a job's labels: no StatefulSet, budget or autoscaler counts it. Pure."""
    body = objects.pod_spec(spec.of, identity, rules, image, has_logins=has_logins, is_non_root=is_non_root)
    del body["readinessGates"]
    body |= {"restartPolicy": "Never", "activeDeadlineSeconds": LAST_DEADLINE_S}
    app = body["containers"][0]
    app["env"].append({"name": "SEALIFT_JOB_ID", "value": spec.job_id})
    app["envFrom"] = [{"secretRef": {"name": job_name(spec.job_id)}}]
    del app["ports"]
    return _made(PodKind, {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(spec, identity)
        | {"annotations": {names.ANNOTATION_JOB_DEPLOYMENT: spec.of.deployment_id}},
        "spec": body,
    })  # fmt: skip


def job_variables(spec: JobSpec, identity: Identity, uid: str) -> Resource:
    """The Secret with a job's variables, which belongs to the Pod with that uid. Pure."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": job_name(spec.job_id), "uid": uid}
    return _made(Secret, {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(spec, identity) | {"ownerReferences": [owner]},
        "type": "Opaque",
        "immutable": True,
        "data": objects.encoded(spec.of.variables),
    })  # fmt: skip


def _metadata(spec: JobSpec, identity: Identity) -> dict[str, Any]:
    labels = {
        **identity.labels(),
        names.LABEL_WORKSPACE: spec.of.workspace_id,
        names.LABEL_PROJECT: spec.of.project_id,
        names.LABEL_ENVIRONMENT: spec.of.environment_id,
        names.LABEL_JOB: spec.job_id,
        names.LABEL_JOB_KIND: names.RELEASE if spec.is_release else names.RUN,
    }
    return {"name": job_name(spec.job_id), "namespace": identity.namespace(spec.of.workspace_id), "labels": labels}


def _made(kind: type[Any], data: Mapping[str, Any]) -> Resource:
    made: Resource = kind.from_dict(data)
    return made


def _epoch_ms(stamp: str | None) -> int:
    try:
        return int(datetime.strptime((stamp or "")[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return 0
