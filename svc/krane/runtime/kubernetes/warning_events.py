"""What the cluster's events say about a Pod that waits, asked for at most every few seconds."""

import time
from collections.abc import Collection, Sequence

import msgspec
from lightkube.resources.core_v1 import Event as EventKind

from svc.krane.runtime.kubernetes.api import ApiError, KubeApi
from svc.krane.runtime.kubernetes.wire import Event, Pod

EXPLAINS_AFTER_S = 3.0  # a Pod that waits without a reason is explained by the cluster's events
EXPLAIN_INTERVAL_S = 5.0
MAX_EXPLAINED = 1000


class WarningEvents:
    """The cluster's warnings about objects: events of the type "Warning"."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._explained: dict[str, tuple[float, Sequence[Event]]] = {}
        self._seen_since: dict[str, float] = {}

    async def about_pod(self, pod: Pod) -> Sequence[Event]:
        """Of a Pod that has waited without a reason for some seconds."""
        since = self._seen_since.setdefault(pod.metadata.uid, time.monotonic())
        waiting = pod.container.state.waiting
        is_known_to_fail = waiting is not None and waiting.reason == "ImagePullBackOff"
        if time.monotonic() - since < EXPLAINS_AFTER_S and not is_known_to_fail:
            return ()
        return await self.about(pod.metadata.uid, pod.metadata.namespace)

    async def about(self, uid: str, namespace: str) -> Sequence[Event]:
        """The cluster's warnings about an object, newest last; asked at most every few seconds."""
        known = self._explained.get(uid)
        if known is not None and time.monotonic() - known[0] < EXPLAIN_INTERVAL_S:
            return known[1]
        params = {"fieldSelector": f"involvedObject.uid={uid},type=Warning"}
        try:
            raw, _, _ = await self._api.list_page(EventKind, params, namespace)
        except ApiError:
            raw = ()
        found = [msgspec.json.decode(one, type=Event) for one in raw]
        found.sort(key=lambda one: int(one.metadata.resource_version or 0))
        self._explained[uid] = (time.monotonic(), found)
        if len(self._explained) > MAX_EXPLAINED:
            del self._explained[next(iter(self._explained))]
        return found

    def forget_others(self, alive: Collection[str]) -> None:
        """Forgets Pods but those with these UIDs."""
        self._seen_since = {uid: since for uid, since in self._seen_since.items() if uid in alive}
