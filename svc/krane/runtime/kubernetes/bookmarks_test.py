"""What a watch of a real API server sends, line by line."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest
from lightkube.resources.apps_v1 import StatefulSet as StatefulSetKind
from lightkube.resources.core_v1 import Pod as PodKind

from svc.krane.runtime.kubernetes import wire
from svc.krane.runtime.kubernetes.api import KubeApi
from svc.krane.runtime.kubernetes.reflector import Reflector

# As Kubernetes 1.20 sends them shortly before it ends a watch.
BOOKMARKS: dict[type[Any], str] = {
    wire.Pod: (
        '{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"640",'
        '"creationTimestamp":null},"spec":{"containers":null},"status":{}}}'
    ),
    wire.StatefulSet: (
        '{"type":"BOOKMARK","object":{"kind":"StatefulSet","apiVersion":"apps/v1","metadata":{"resourceVersion":"640",'
        '"creationTimestamp":null},"spec":{"selector":null,"template":{"metadata":{"creationTimestamp":null},'
        '"spec":{"containers":null}},"serviceName":"","updateStrategy":{}},"status":{"replicas":0}}}'
    ),
}


@pytest.mark.parametrize("kind", [wire.Pod, wire.StatefulSet])
def test_a_bookmark_is_a_version_alone(kind: type[Any]) -> None:
    """Promise: it moves the version on, announces no object, and does not break the watch by what it lacks."""
    seen: list[object] = []

    def on_all(items: Sequence[Any]) -> None:
        seen.extend(items)

    def on_one(item: object, is_deleted: bool) -> None:
        del is_deleted
        seen.append(item)

    resource = PodKind if kind is wire.Pod else StatefulSetKind
    reflector: Reflector[Any] = Reflector(cast("KubeApi", None), resource, kind, "", on_all, on_one)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.decode(BOOKMARKS[kind], type=wire.WatchEvent).object, type=kind)
    reflector._take(BOOKMARKS[kind])
    assert (reflector._version, seen) == ("640", [])
