"""The cluster for tests itself: what tests of krane rely on."""

import secrets
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pkg.testing.kubernetes.control_plane import ControlPlane, KubectlError
from pkg.testing.kubernetes.fake_node import CRASH_LOG
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S, KUBERNETES_WAIT_S
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)


@pytest.fixture
def namespace(kubernetes_plane: ControlPlane) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    kubernetes_plane.kubectl("create", "namespace", name)
    yield name
    kubernetes_plane.kubectl("delete", "namespace", name, "--wait=false")


def stateful_set(
    namespace: str, image: str, *, name: str = "web", replicas: int = 1, cpu: str = "100m"
) -> dict[str, Any]:
    container = {
        "name": "app",
        "image": image,
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": {"cpu": cpu}},
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def container_of(plane: ControlPlane, namespace: str, pod: str = "web-0") -> Any:
    try:
        return plane.get("pod", "-n", namespace, pod)["status"].get("containerStatuses", [{}])[0]
    except KubectlError:
        return {}


def test_pods_become_ready_and_answer_on_their_address(kubernetes_plane: ControlPlane, namespace: str) -> None:
    """Promise: the real scheduler and controllers roll out on the fake node; each Pod answers with its name."""
    kubernetes_plane.apply(stateful_set(namespace, "registry.test/app@sha256:" + "a" * 64, replicas=2))
    kubernetes_plane.kubectl("rollout", "status", "-n", namespace, "statefulset/web", f"--timeout={KUBERNETES_WAIT_S}s")
    for pod in kubernetes_plane.get("pods", "-n", namespace)["items"]:
        with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8080/", timeout=5) as answer:
            assert answer.read().decode().strip() == pod["metadata"]["name"]


@pytest.mark.parametrize(
    ("image", "is_so"),
    [
        ("x/pull-denied:1", lambda one: one["state"].get("waiting", {}).get("reason") == "ImagePullBackOff"),
        ("x/crashes:1", lambda one: one["lastState"].get("terminated", {}).get("message") == CRASH_LOG),
        ("x/out-of-memory", lambda one: one["lastState"].get("terminated", {}).get("reason") == "OOMKilled"),
        ("x/exits", lambda one: one["lastState"].get("terminated", {}).get("exitCode") == 0),
        ("x/never-ready", lambda one: "running" in one["state"] and not one["ready"]),
    ],
)
def test_images_ask_for_a_failure(
    kubernetes_plane: ControlPlane, namespace: str, image: str, is_so: Callable[[Any], bool]
) -> None:
    """Promise: what a kubelet reports about a Pod that does not start is reported for images with these names."""
    kubernetes_plane.apply(stateful_set(namespace, image))

    def look() -> bool:
        container = container_of(kubernetes_plane, namespace)
        return bool(container) and is_so(container)

    eventually(look, within_s=KUBERNETES_WAIT_S, what=image)
    if "crashes" in image:
        assert kubernetes_plane.kubectl("logs", "-n", namespace, "web-0", "--tail=1") == CRASH_LOG.splitlines(True)[-1]


def test_a_pod_that_fits_no_node_is_unschedulable(kubernetes_plane: ControlPlane, namespace: str) -> None:
    """Promise: the real scheduler says so."""
    kubernetes_plane.apply(stateful_set(namespace, "x/app", cpu="1000"))

    def look() -> bool:
        try:
            conditions = kubernetes_plane.get("pod", "-n", namespace, "web-0")["status"].get("conditions", [])
        except KubectlError:
            return False
        return any(one.get("reason") == "Unschedulable" for one in conditions)

    eventually(look, within_s=KUBERNETES_WAIT_S, what="the condition Unschedulable")


@pytest.fixture(scope="module")
def own_plane() -> Iterator[ControlPlane]:
    """Whose programs are killed."""
    with ControlPlane() as plane:
        plane.add_fake_node()
        yield plane


def test_the_apiserver_comes_back_with_everything(own_plane: ControlPlane) -> None:
    """Promise: killed and started it has what it had, and the fake node goes on."""
    own_plane.apply(stateful_set("default", "x/app", name="before"))
    eventually(
        lambda: container_of(own_plane, "default", "before-0").get("ready"),
        within_s=KUBERNETES_WAIT_S,
        what="before-0 is ready",
    )
    own_plane.restart_apiserver()
    own_plane.apply(stateful_set("default", "x/app", name="after"))
    eventually(
        lambda: container_of(own_plane, "default", "after-0").get("ready"),
        within_s=KUBERNETES_WAIT_S,
        what="after-0 is ready",
    )
    assert container_of(own_plane, "default", "before-0").get("ready")


def test_older_versions_are_gone_after_a_compaction(own_plane: ControlPlane) -> None:
    """Promise: a watch from before it ends with 410."""
    old = own_plane.get("namespace", "default")["metadata"]["resourceVersion"]
    own_plane.kubectl("create", "namespace", "newer")
    own_plane.compact()
    watch = f"/api/v1/namespaces?watch=true&timeoutSeconds=2&resourceVersion={old}"
    try:
        said = own_plane.kubectl("get", "--raw", watch)
    except KubectlError as error:
        said = str(error)
    assert "410" in said or "too old resource version" in said


def test_a_lost_node_is_not_ready_and_its_pods_answer(own_plane: ControlPlane) -> None:
    """Promise: the controller manager sees the loss, and what runs there goes on."""
    node = own_plane.add_fake_node("far")
    own_plane.kubectl("cordon", "fake")
    own_plane.apply(stateful_set("default", "x/app", name="far"))
    eventually(
        lambda: container_of(own_plane, "default", "far-0").get("ready"),
        within_s=KUBERNETES_WAIT_S,
        what="far-0 is ready",
    )
    node.lose()

    def is_lost() -> bool:
        conditions = own_plane.get("node", "far")["status"]["conditions"]
        return any(one["type"] == "Ready" and one["status"] == "Unknown" for one in conditions)

    eventually(is_lost, within_s=KUBERNETES_WAIT_S, what="the node is NotReady")
    address = own_plane.get("pod", "far-0")["status"]["podIP"]
    with urllib.request.urlopen(f"http://{address}:8080/", timeout=5) as answer:
        assert answer.status == 200
    node.find()
    eventually(lambda: not is_lost(), within_s=KUBERNETES_WAIT_S, what="the node is Ready again")
