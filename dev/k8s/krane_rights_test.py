"""What krane may do on a cluster is what it does: the runtime keeps its contract with the rights of the manifests."""

import logging
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from lightkube import AsyncClient

from dev.k8s.rendering import NAMESPACE, OVERLAYS, Manifest, render
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.parts import prepared_part
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S
from svc.krane.runtime.contract import RuntimeContract
from svc.krane.runtime.kubernetes.election import LeaseRecord
from svc.krane.runtime.kubernetes.leadership import LeaseStore
from svc.krane.testing.kubernetes import KubernetesRig, login, opened

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

USER = f"system:serviceaccount:{NAMESPACE}:sealift-krane"
REQUEST = re.compile(
    r"HTTP Request: (?P<method>\w+) https://[^/]+(?P<path>/apis?/[^? ]+)(?P<query>\?\S*)? .*?(?P<code>\d{3})"
)
PATH = re.compile(
    r"/apis?/(?:(?P<group>[a-z.0-9]+\.[a-z.0-9]+|apps|policy|autoscaling)/)?v[0-9a-z]+"
    r"(?:/namespaces/[^/]+(?=/[^/]))?/(?P<kind>[a-z]+)(?:/(?P<name>[^/]+)(?:/(?P<part>[a-z]+)(?:/.*)?)?)?"
)
Right = tuple[str, str, str]
# What the contract never comes to: an app whose events say why it does not start, a lost node, logins for pulls that
# change, variables of a revision without Pods, a budget or an autoscaler that is there already, metrics where nodes may
# be asked, commands of users.
RARE: frozenset[Right] = frozenset({
    ("", "events", "list"),
    ("", "nodes", "get"),
    ("", "pods/exec", "create"),
    ("", "pods/exec", "get"),
    ("", "secrets", "delete"),
    ("", "secrets", "get"),
    ("", "secrets", "patch"),
    ("autoscaling", "horizontalpodautoscalers", "get"),
    ("metrics.k8s.io", "pods", "list"),
    ("policy", "poddisruptionbudgets", "get"),
})  # fmt: skip


def rights(manifests: list[Manifest]) -> set[Right]:
    """API group, resource and verb of all that is granted."""
    return {
        (group, resource, verb)
        for manifest in manifests if manifest["kind"] in ("ClusterRole", "Role")
        for rule in manifest["rules"]
        for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]
    }  # fmt: skip


class Recorder(logging.Handler):
    """Collects the rights that requests needed, from the lines of the HTTP client."""

    def __init__(self) -> None:
        super().__init__()
        self.used: set[Right] = set()

    def emit(self, record: logging.LogRecord) -> None:
        found = REQUEST.match(record.getMessage())
        parts = PATH.fullmatch(found["path"]) if found else None
        if not found or not parts:
            return
        resource = parts["kind"] + (f"/{parts['part']}" if parts["part"] else "")
        verbs = {"POST": ["create"], "PATCH": ["patch"], "PUT": ["update"], "DELETE": ["delete"], "GET": ["get"]}[
            found["method"]
        ]
        if found["method"] == "GET" and not parts["name"]:
            verbs = ["watch" if "watch=true" in (found["query"] or "") else "list"]
        if found["method"] == "PATCH" and found["code"] == "201":
            verbs = ["patch", "create"]  # an apply that makes the object needs both
        self.used |= {(parts["group"] or "", resource, verb) for verb in verbs}


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    one, logger = Recorder(), logging.getLogger("httpx2")
    before = logger.level
    logger.addHandler(one)
    logger.setLevel(logging.INFO)
    yield one
    logger.removeHandler(one)
    logger.setLevel(before)


@pytest.fixture(scope="module")
def granted(kubernetes_plane: ControlPlane) -> Iterator[set[Right]]:
    """The rights are applied to the cluster."""
    whole = render(OVERLAYS / "production", program=str(prepared_part("kubernetes") / "root/usr/bin/kubectl"))
    kinds = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
    chosen = [one for one in whole if one["kind"] in kinds]
    kubernetes_plane.kubectl("create", "namespace", NAMESPACE)
    kubernetes_plane.apply(*chosen)
    yield rights(chosen)
    kubernetes_plane.kubectl("delete", "clusterrole,clusterrolebinding", "sealift-krane")
    kubernetes_plane.kubectl("delete", "namespace", NAMESPACE)


class TestRights(RuntimeContract):
    """The contract of the port, by a krane that has no right but these."""

    @pytest.fixture
    async def rig(
        self, kubernetes_plane: ControlPlane, granted: set[Right], recorder: Recorder
    ) -> AsyncIterator[KubernetesRig]:
        del granted, recorder
        async with opened(_RestrictedRig(kubernetes_plane)) as rig:
            yield rig

    async def test_zz_no_right_is_unused(
        self, kubernetes_plane: ControlPlane, granted: set[Right], recorder: Recorder
    ) -> None:
        """Promise: verb by verb, what is granted is what the tests above needed, and what leadership needs."""
        client = AsyncClient(config=login(kubernetes_plane.kubeconfig_of(USER)))
        try:
            store = LeaseStore(client, "rights", NAMESPACE, {"for": "this-test"})
            assert await store.read() is None
            first = await store.write(LeaseRecord("one", 0))
            assert first is not None
            assert await store.write(first) is not None
        finally:
            await client.close()
        assert recorder.used - granted == set()
        assert granted - recorder.used == RARE


class _RestrictedRig(KubernetesRig):
    def make(self, installation_id: str = "", **given: Any) -> Any:
        return super().make(installation_id, kubeconfig=self.plane.kubeconfig_of(USER), **given)
