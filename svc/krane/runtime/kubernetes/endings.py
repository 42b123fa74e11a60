"""How a Pod ends: asked to, waited for, and given up when its node is gone."""

import logging
import time
from collections.abc import Callable

from lightkube.resources.core_v1 import Node as NodeKind
from lightkube.resources.core_v1 import Pod as PodKind

from pkg.errors import Unavailable
from pkg.observability.logging import fields
from svc.krane.runtime.kubernetes import failures, objects, pods
from svc.krane.runtime.kubernetes.api import UNAVAILABLE, ApiError, KubeApi
from svc.krane.runtime.kubernetes.cache import ClusterCache
from svc.krane.runtime.kubernetes.wire import Node, Pod

log = logging.getLogger(__name__)

END_MARGIN_S = 20.0  # after the grace period, until the Pod of an ended app is gone
NODE_LOST_AFTER_S = 30.0  # after the grace period, until a Pod is given up whose node is gone


class Endings:
    """Ends Pods. `is_leader`: whether this krane may write."""

    def __init__(self, api: KubeApi, cache: ClusterCache, is_leader: Callable[[], bool]) -> None:
        self._api = api
        self._cache = cache
        self._is_leader = is_leader

    async def end(self, pod: Pod, grace_s: int) -> None:
        """Ends a Pod and waits until it is gone. Raises Unavailable when it does not go."""
        meta = pod.metadata
        log.info("ending a Pod", extra=fields(instance_id=meta.name, node=pod.spec.node_name))
        try:
            # A grace period of 0 would remove the Pod from the server while its app still runs.
            if grace_s and pods.stops_late(pod):
                grace_s += objects.STOP_DELAY_S
            await self._api.delete(PodKind, meta.name, meta.namespace, uid=meta.uid, grace_s=max(1, grace_s))
        except ApiError as error:
            raise failures.refusal(error, f"Pod {meta.name}") from error
        if await self._is_gone(pod, grace_s + END_MARGIN_S):
            return
        if await self.give_up_if_lost(pod) and await self._is_gone(pod, END_MARGIN_S):
            return
        raise Unavailable(UNAVAILABLE, f"Pod {meta.name} does not end on node {pod.spec.node_name}; trying again")

    async def _is_gone(self, pod: Pod, timeout_s: float) -> bool:
        def gone() -> bool | None:
            now = self._cache.pod_named(pod.metadata.name)
            return True if now is None or now.metadata.uid != pod.metadata.uid else None

        return bool(await self._cache.until(pods.deployment_of(pod.metadata.labels), gone, timeout_s))

    async def give_up_if_lost(self, pod: Pod) -> bool:
        """Removes the Pod of a node that is gone, so that the cluster makes another one elsewhere."""
        now = self._cache.pod_named(pod.metadata.name)
        if now is None or now.metadata.uid != pod.metadata.uid or not self._is_leader():
            return False
        since, grace_s = self._cache.history(now).ends_since, now.metadata.deletion_grace_period_seconds or 0
        if since is None or time.monotonic() - since < grace_s + NODE_LOST_AFTER_S or await self._is_node_ready(now):
            return False
        extra = fields(instance_id=pod.metadata.name, node=pod.spec.node_name)
        log.warning("the node of a Pod that should end is lost; removing the Pod", extra=extra)
        meta = now.metadata
        try:
            return await self._api.delete(PodKind, meta.name, meta.namespace, uid=meta.uid, grace_s=0)
        except ApiError as error:
            raise failures.refusal(error, f"Pod {meta.name}") from error

    async def _is_node_ready(self, pod: Pod) -> bool:
        if not pod.spec.node_name:
            return False
        try:
            node = await self._api.get(NodeKind, pod.spec.node_name, "", Node)
        except ApiError:
            return True  # what is not known is no reason to give an app up
        return node is not None and any(one.type == "Ready" and one.status == "True" for one in node.status.conditions)
