"""Pods as the API server shows them."""

from typing import Any

import msgspec

from svc.krane.runtime.kubernetes.identity import Identity
from svc.krane.runtime.kubernetes.wire import Pod

OWN = Identity("inst_1", "local")
LABELS = {**OWN.labels(), "sealift.dev/deployment": "dep_1", "sealift.dev/workspace": "ws_1"}
RUNNING: Any = {"running": {"startedAt": "2026-11-28T12:00:00Z"}}
BACK_OFF: Any = {"waiting": {"reason": "CrashLoopBackOff"}}


def ended(code: int, reason: str = "Error", at: str = "2026-11-28T12:00:01Z", message: str = "") -> Any:
    """The state of a container whose app has ended."""
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at, "message": message}}


def pod(state: Any = None, *, last: Any = None, is_healthy: bool = False, restarts: int = 0, **status: Any) -> Pod:
    """A Pod of ours whose container is in this state, and was in another one before."""
    conditions = [{"type": "sealift.dev/healthy", "status": "True"}] if is_healthy else []
    container = {"name": "app", "state": state or {}, "lastState": last or {}, "restartCount": restarts}
    container["imageID"] = "registry.example.com/a@sha256:1"
    raw = {
        "metadata": {"name": "dep-1-0", "namespace": OWN.namespace("ws_1"), "uid": "u", "labels": LABELS,
                     "annotations": {"sealift.dev/revision": "1-a"}},
        "spec": {"nodeName": "n", "containers": [{"name": "app", "resources": {"limits": {"memory": "64Mi"}}}]},
        "status": {"phase": "Running", "podIP": "10.1.1.1", "conditions": conditions, "containerStatuses": [container],
                   **status},
    }  # fmt: skip
    return msgspec.convert(raw, Pod)
