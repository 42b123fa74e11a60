"""HorizontalPodAutoscalers: how one looks, and why it does not scale.

It writes the number of a StatefulSet's Pods, between the bounds of the deployment, and krane reads that number there.
What it says of itself is kept by a watch of its own: a cluster that shows krane none runs instances all the same.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightkube.core.resource import Resource
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler

from pkg.output.text import printable
from svc.krane.runtime.kubernetes import identity as names
from svc.krane.runtime.kubernetes import objects
from svc.krane.runtime.kubernetes.api import KubeApi, ServerVersions
from svc.krane.runtime.kubernetes.identity import Identity
from svc.krane.runtime.kubernetes.reflector import Reflector
from svc.krane.runtime.kubernetes.wire import Autoscaler, Condition
from svc.krane.runtime.port import DeploymentSpec

KINDS: Mapping[str, type[Any]] = {
    "v2": HorizontalPodAutoscaler,
    "v2beta2": create_namespaced_resource(
        "autoscaling", "v2beta2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"
    ),
}
# New Pods have no metrics at first, and metrics-server has outages: only what lasts is told.
FAILS_S = 120.0
MAX_SAID_CHARS = 300
NO_AUTOSCALER = "the cluster has no HorizontalPodAutoscaler that krane knows, so min_replicas instances run"
NO_METRICS = (
    "the cluster has no resource metrics (metrics.k8s.io), so the number of instances does not follow the load: "
    "install metrics-server there"
)
# What the API server says of a metrics API that is not registered, or has nothing behind it.
_IS_ABSENT = ("could not find the requested resource", "unable to handle the request")


def autoscaler(spec: DeploymentSpec, identity: Identity, owner: Mapping[str, Any], version: str) -> Resource:
    """The autoscaler of a deployment with bounds. `version`: one of `KINDS`; `owner`: its StatefulSet."""
    assert spec.bounds is not None
    name = names.set_name(spec.deployment_id)
    # Percent would be of the request, which the operator sets; the user's percent is of the limit.
    target = max(1, spec.cpu_millicores * spec.bounds.target_cpu_percent // 100)
    made: Resource = KINDS[version].from_dict({
        "apiVersion": f"autoscaling/{version}",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": name,
            "namespace": identity.namespace(spec.workspace_id),
            "labels": objects.labels_of(spec, identity),
            "ownerReferences": [dict(owner)],
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name},
            "minReplicas": spec.bounds.min_replicas,
            "maxReplicas": spec.bounds.max_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": f"{target}m"}},
                }
            ],
        },
    })  # fmt: skip
    return made


def failing(conditions: Sequence[Condition]) -> Condition | None:
    """The condition that says why an autoscaler can't scale; None while it can, or has not been tried yet."""
    for one in conditions:
        if one.type in ("AbleToScale", "ScalingActive") and one.status == "False" and one.reason.startswith("Failed"):
            return one
    return None


def is_without_metrics_api(condition: Condition) -> bool:
    """Whether the cluster has no metrics at all."""
    return "metrics.k8s.io" in condition.message and any(words in condition.message for words in _IS_ABSENT)


class Autoscalers:
    """The autoscalers of one installation and region.

    Args:
        tell: takes the id of a deployment whose notice may have changed.
    """

    def __init__(self, api: KubeApi, identity: Identity, tell: Callable[[str], None]) -> None:
        self._api = api
        self._identity = identity
        self._tell = tell
        self._known: dict[str, Autoscaler] = {}
        self._failing_since: dict[str, float] = {}
        self._has_metrics = False
        self._watch: Reflector[Autoscaler] | None = None
        self._task: asyncio.Task[None] | None = None
        self.version = ""

    async def open(self, versions: ServerVersions) -> None:
        """Follows them from then on. Idempotent."""
        self.version, self._has_metrics = versions.autoscalers, versions.has_metrics
        if not self.version or self._task is not None:
            return
        kind, selector = KINDS[self.version], self._identity.selector
        self._watch = Reflector(self._api, kind, Autoscaler, selector, self._all, self._one)
        self._task = asyncio.create_task(self._watch.run(), name="watch the autoscalers")

    async def close(self) -> None:
        """Stops following. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def is_missing(self, deployment_id: str) -> bool:
        """Whether it is certain that the deployment has none."""
        is_current = self._watch is not None and self._watch.synced.is_set() and not self._watch.lost_s
        return is_current and deployment_id not in self._known

    def notice(self, deployment_id: str) -> str:
        """Why the number of the deployment's instances does not follow the load, for people; "" if it does."""
        if not self.version:
            return NO_AUTOSCALER
        known = self._known.get(deployment_id)
        if known is None or not any(one.type == "ScalingActive" for one in known.conditions):
            return "" if self._has_metrics else NO_METRICS
        condition = failing(known.conditions)
        if condition is None:
            return ""
        if is_without_metrics_api(condition):
            return NO_METRICS
        if time.monotonic() - self._failing_since.get(deployment_id, time.monotonic()) < FAILS_S:
            return ""
        said = printable(f"{condition.reason}: {condition.message}", MAX_SAID_CHARS)
        return f"the number of instances does not follow the load; the cluster's autoscaler says: {said}"

    def _all(self, found: Sequence[Autoscaler]) -> None:
        listed = {one.deployment_id: one for one in found if self._is_ours(one)}
        for deployment_id in [known for known in self._known if known not in listed]:
            self._drop(deployment_id)
        for one in listed.values():
            self._keep(one)

    def _one(self, found: Autoscaler, is_gone: bool) -> None:
        if not self._is_ours(found):
            return
        known = self._known.get(found.deployment_id)
        if not is_gone:
            self._keep(found)
        elif known is not None and known.metadata.uid == found.metadata.uid:
            self._drop(found.deployment_id)

    def _keep(self, found: Autoscaler) -> None:
        deployment_id = found.deployment_id
        before = self.notice(deployment_id)
        self._known[deployment_id] = found
        if failing(found.conditions) is None:
            self._failing_since.pop(deployment_id, None)
        else:
            self._failing_since.setdefault(deployment_id, time.monotonic())
        if self.notice(deployment_id) != before:
            self._tell(deployment_id)

    def _drop(self, deployment_id: str) -> None:
        del self._known[deployment_id]
        self._failing_since.pop(deployment_id, None)
        self._tell(deployment_id)

    def _is_ours(self, found: Autoscaler) -> bool:
        labels = found.metadata.labels
        return self._identity.owns(labels) and found.metadata.name == names.set_name(found.deployment_id)
