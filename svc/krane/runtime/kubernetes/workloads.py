"""The objects of deployments: made, changed, scaled and removed, each step such that a repetition does no harm.

A StatefulSet begins with no Pods. What its Pods need is made next and belongs to it, and the number of Pods comes last:
whenever krane ends in between, nothing is left that nobody removes, and the next try goes on.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from weakref import WeakValueDictionary

from lightkube.core.resource import Resource
from lightkube.resources.apps_v1 import StatefulSet as StatefulSetKind
from lightkube.resources.core_v1 import Secret, Service

from pkg.errors import Unavailable
from pkg.observability.logging import fields
from svc.krane.runtime.kubernetes import autoscaling, failures, objects, pods, wire
from svc.krane.runtime.kubernetes import identity as names
from svc.krane.runtime.kubernetes.api import UNAVAILABLE, ApiError, KubeApi, ServerVersions, as_data
from svc.krane.runtime.kubernetes.autoscaling import Autoscalers
from svc.krane.runtime.kubernetes.cache import ClusterCache
from svc.krane.runtime.kubernetes.identity import Identity
from svc.krane.runtime.kubernetes.objects import PodRules
from svc.krane.runtime.kubernetes.registry_images import RegistryImages
from svc.krane.runtime.kubernetes.wire import StatefulSet
from svc.krane.runtime.kubernetes.workspaces import Workspaces
from svc.krane.runtime.port import DeploymentSpec, PendingError

GONE_WITHIN_S = 5.0  # an event of the API server takes milliseconds; a later pass looks again

log = logging.getLogger(__name__)


class Workloads:
    """The writer of StatefulSets and of what belongs to them. `use` comes first."""

    def __init__(
        self,
        api: KubeApi,
        cache: ClusterCache,
        identity: Identity,
        rules: PodRules,
        workspaces: Workspaces,
        images: RegistryImages,
        autoscalers: Autoscalers,
    ) -> None:
        self._api = api
        self._cache = cache
        self._identity = identity
        self._rules = rules
        self._workspaces = workspaces
        self._images = images
        self._autoscalers = autoscalers
        self._server = ServerVersions("")
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._budgeted: set[str] = set()

    def use(self, server: ServerVersions) -> None:
        """What the server has."""
        self._server = server

    def is_autoscaled(self, spec: DeploymentSpec) -> bool:
        """Whether the number of the deployment's Pods is an autoscaler's."""
        return spec.bounds is not None and bool(self._server.autoscalers)

    def first_replicas(self, spec: DeploymentSpec) -> int:
        """With how many Pods a deployment begins: with bounds, as many as what it replaces has, within them."""
        replaced = self._cache.stateful_set(spec.replaces) if spec.replaces else None
        if spec.bounds is None or replaced is None:
            return spec.replicas
        return spec.bounds.clamp(max(spec.replicas, replaced.spec.replicas))

    async def ensure(self, spec: DeploymentSpec, replica: int) -> None:
        """There is a StatefulSet as the spec says, with a Pod for this replica. Its other Pods stay as they are.

        Raises PendingError, FailedPrecondition, Unavailable.
        """
        async with self._lock(spec.deployment_id):
            try:
                known = await self._known(spec)
                if known is None or not await self._is_as_wanted(known, spec):
                    known = await self._write(spec, known)
                if self.is_autoscaled(spec):
                    wanted = spec.replicas if known.spec.replicas else self.first_replicas(spec)
                    await self._ensure_autoscaler(spec, known)
                    if replica >= max(wanted, known.spec.replicas):
                        raise PendingError("", "the autoscaler of the cluster has ended it")
                else:
                    wanted = replica + 1 if known.spec.replicas else max(spec.replicas, replica + 1)
                if known.spec.replicas < wanted:
                    await self._belongings(spec, known, wanted)
                    await self._scale(known, wanted)
            except ApiError as error:
                self._workspaces.forget(spec.workspace_id)
                raise failures.refusal(error, f"StatefulSet {names.set_name(spec.deployment_id)}") from error

    async def restore(self, spec: DeploymentSpec) -> None:
        """What the Pods of a deployment need is made again, where somebody has removed it.

        Raises PendingError, FailedPrecondition, Unavailable.
        """
        async with self._lock(spec.deployment_id):
            try:
                known = await self._known(spec)
                if known is not None:
                    await self._belongings(spec, known, known.spec.replicas)
            except ApiError as error:
                raise failures.refusal(error, f"what StatefulSet {names.set_name(spec.deployment_id)} needs") from error

    async def remove(self, deployment_id: str, replica: int) -> None:
        """No Pod is made any more for this replica, nor for higher ones; without the first one, nothing is left."""
        async with self._lock(deployment_id):
            known = self._cache.stateful_set(deployment_id)
            if known is None:
                return
            try:
                if replica == 0:
                    await self._api.delete(
                        StatefulSetKind, known.metadata.name, known.metadata.namespace, uid=known.metadata.uid
                    )
                    self._budgeted.discard(known.metadata.uid)
                    # until it is not listed any more: else its deployment would seem to have an instance to end
                    await self._cache.until(
                        deployment_id, lambda: self._cache.stateful_set(deployment_id) is None or None, GONE_WITHIN_S
                    )
                elif known.spec.replicas > replica and not _is_autoscaled(known):
                    await self._scale(known, replica)
            except ApiError as error:
                raise failures.refusal(error, f"StatefulSet {known.metadata.name}") from error

    async def delete_old_variables(self) -> None:
        """Deletes the Secrets of revisions of which no Pod is left. What fails is logged, and tried the next time."""
        for known in self._cache.stateful_sets():
            if names.ANNOTATION_OLD_REVISIONS in known.metadata.annotations:
                deployment_id = pods.deployment_of(known.metadata.labels)
                try:
                    async with self._lock(deployment_id):
                        await self._delete_old_variables(deployment_id)
                except (ApiError, Unavailable) as error:
                    extra = fields(deployment_id=deployment_id, error=str(error))
                    log.warning("variables of earlier revisions could not be deleted", extra=extra)

    async def _delete_old_variables(self, deployment_id: str) -> None:
        known = self._cache.stateful_set(deployment_id)
        if known is None or known.metadata.deletion_timestamp is not None:
            return
        meta, revision = known.metadata, known.metadata.annotations.get(names.ANNOTATION_REVISION, "")
        if any(pods.revision_of(pod) != revision for pod in self._cache.pods_of(deployment_id)):
            return
        for old in _old_revisions(known, revision):
            name = objects.variables_name(deployment_id, old)
            found = await self._api.get(Secret, name, meta.namespace, wire.Anything)
            is_own = found is not None and self._identity.owns(found.metadata.labels)
            if found is not None and is_own and any(one.uid == meta.uid for one in found.metadata.owner_references):
                log.info("deleting the variables of an earlier revision", extra=fields(deployment_id=deployment_id))
                await self._api.delete(Secret, name, meta.namespace, uid=found.metadata.uid)
        change = {"metadata": {"uid": meta.uid, "annotations": {names.ANNOTATION_OLD_REVISIONS: None}}}
        written = await self._api.patch(StatefulSetKind, meta.name, meta.namespace, change, StatefulSet)
        if written is not None:
            self._cache.put_set(written)

    async def _known(self, spec: DeploymentSpec) -> StatefulSet | None:
        """The deployment's StatefulSet; None when the name is free."""
        known = self._cache.stateful_set(spec.deployment_id)
        if known is None:
            await self._workspaces.ensure(spec.workspace_id)
            name, namespace = names.set_name(spec.deployment_id), self._identity.namespace(spec.workspace_id)
            known = await self._api.get(StatefulSetKind, name, namespace, StatefulSet)
            if known is not None:
                if not _is_of(known, spec, self._identity):
                    raise failures.name_taken("StatefulSet", name, namespace)
                self._cache.put_set(known)
        if known is not None and known.metadata.deletion_timestamp is not None:
            raise PendingError("", "what was there before is being removed")
        return known

    async def _is_as_wanted(self, known: StatefulSet, spec: DeploymentSpec) -> bool:
        wanted = await self._rendered(spec, known, None)
        return known.metadata.annotations.get(names.ANNOTATION_APPLIED) == _annotation(wanted)

    async def _write(self, spec: DeploymentSpec, known: StatefulSet | None) -> StatefulSet:
        is_other = known is not None and known.metadata.annotations.get(names.ANNOTATION_REVISION) != spec.revision
        if known is not None and known.spec.replicas and is_other:
            await self._belongings(spec, known, known.spec.replicas)  # the variables of the new revision
        begins = known is None or not known.spec.replicas
        wanted = await self._rendered(spec, known, 0 if begins else None, _old_revisions(known, spec.revision))
        written = await self._api.apply(wanted, StatefulSet, uid=known.metadata.uid if known is not None else "")
        self._cache.put_set(written)
        return written

    async def _rendered(
        self,
        spec: DeploymentSpec,
        known: StatefulSet | None,
        replicas: int | None,
        old_revisions: Collection[str] = (),
    ) -> Resource:
        web = self._cache.stateful_set(spec.owner_id) if spec.process else None
        image = _image_of(known, spec) or _image_of(web, spec) or await self._images.pinned(spec.image_ref)
        facts = await self._images.facts(image) if known is None else None
        is_non_root = facts.is_non_root if facts is not None else _is_non_root(known)
        return objects.stateful_set(
            spec,
            self._identity,
            self._rules,
            image,
            replicas,
            has_logins=self._workspaces.has_logins,
            is_non_root=is_non_root,
            is_autoscaled=self.is_autoscaled(spec),
            has_sleep_hook=self._server.has_sleep_hook,
            old_revisions=old_revisions,
        )

    async def _belongings(self, spec: DeploymentSpec, known: StatefulSet, replicas: int) -> None:
        """What the Pods need. Made once: none of it ever changes."""
        owner = objects.owner_reference(known.metadata.name, known.metadata.uid)
        calls = [
            self._create(Secret, objects.variables(spec, self._identity, owner), known),
            self._create(Service, objects.headless_service(spec, self._identity, owner), known),
        ]
        version, most = self._server.disruption_budgets, spec.bounds.max_replicas if spec.bounds else replicas
        has_budget = most > 1 and version and known.metadata.uid not in self._budgeted
        if has_budget:
            budget = objects.disruption_budget(spec, self._identity, owner, version)
            calls.append(self._create(objects.PDB_KINDS[version], budget, known))
        await asyncio.gather(*calls)
        if has_budget:
            self._budgeted.add(known.metadata.uid)

    async def _ensure_autoscaler(self, spec: DeploymentSpec, known: StatefulSet) -> None:
        """Before the first Pod, and whenever somebody has removed it: bounds never change."""
        if known.spec.replicas and not self._autoscalers.is_missing(spec.deployment_id):
            return
        owner, version = objects.owner_reference(known.metadata.name, known.metadata.uid), self._server.autoscalers
        wanted = autoscaling.autoscaler(spec, self._identity, owner, version)
        await self._create(autoscaling.KINDS[version], wanted, known)

    async def _create(self, kind: type[Resource], wanted: Resource, owner: StatefulSet) -> None:
        """Creates an object, or finds that it is there already and belongs to this very StatefulSet."""
        data = as_data(wanted)
        name, namespace = data["metadata"]["name"], data["metadata"]["namespace"]
        try:
            await self._api.create(wanted)
        except ApiError as error:
            if error.code != 409:
                raise
        else:
            return
        found = await self._api.get(kind, name, namespace, wire.Anything)
        if found is None or found.metadata.deletion_timestamp is not None:
            raise PendingError("", f"{kind.__name__} {name} of before is being removed")
        if not self._identity.owns(found.metadata.labels):
            raise failures.name_taken(kind.__name__, name, namespace)
        if all(one.uid != owner.metadata.uid for one in found.metadata.owner_references):
            raise PendingError("", f"{kind.__name__} {name} of before is being removed")

    async def _scale(self, known: StatefulSet, replicas: int) -> None:
        extra = fields(deployment_id=known.metadata.labels.get(names.LABEL_DEPLOYMENT, ""), replicas=replicas)
        log.info("scaling a deployment", extra=extra)
        change = {"metadata": {"uid": known.metadata.uid}, "spec": {"replicas": replicas}}
        meta = known.metadata
        written = await self._api.patch(StatefulSetKind, meta.name, meta.namespace, change, StatefulSet)
        if written is None:
            raise Unavailable(UNAVAILABLE, f"StatefulSet {meta.name} was gone; trying again")
        self._cache.put_set(written)

    def _lock(self, deployment_id: str) -> asyncio.Lock:
        lock = self._locks.get(deployment_id)
        if lock is None:
            lock = self._locks[deployment_id] = asyncio.Lock()
        return lock

    def workspaces_in_use(self) -> Sequence[str]:
        """The workspaces that have deployments here."""
        return sorted({one.metadata.labels.get(names.LABEL_WORKSPACE, "") for one in self._cache.stateful_sets()})


def _is_of(found: StatefulSet, spec: DeploymentSpec, identity: Identity) -> bool:
    wanted = objects.labels_of(spec, identity)
    return all(found.metadata.labels.get(name) == value for name, value in wanted.items())


def _annotation(wanted: Resource) -> str:
    data = as_data(wanted)
    return str(data["metadata"]["annotations"][names.ANNOTATION_APPLIED])


def _image_of(known: StatefulSet | None, spec: DeploymentSpec) -> str:
    """What the deployment's instances run already: all of them run the same, also when the tag has moved."""
    if known is None or known.metadata.annotations.get(names.ANNOTATION_IMAGE) != spec.image_ref:
        return ""
    containers = known.spec.template.spec.containers
    return containers[0].image if containers else ""


def _old_revisions(known: StatefulSet | None, revision: str) -> set[str]:
    """The revisions other than `revision` whose Secrets may be there."""
    if known is None:
        return set()
    annotations = known.metadata.annotations
    noted = annotations.get(names.ANNOTATION_OLD_REVISIONS, "").split(",")
    return {*noted, annotations.get(names.ANNOTATION_REVISION, "")} - {"", revision}


def _is_autoscaled(known: StatefulSet) -> bool:
    return known.metadata.annotations.get(names.ANNOTATION_AUTOSCALED) == "true"


def _is_non_root(known: StatefulSet | None) -> bool:
    return known is not None and known.metadata.annotations.get(names.ANNOTATION_NON_ROOT) == "true"
