"""The real node for tests: what tests of krane on real Pods rely on."""

import asyncio
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pkg.registry.testing import PULLER, DockerRegistry, push_image
from pkg.testing.kubernetes.control_plane import KubectlError
from pkg.testing.kubernetes.images import busybox_image
from pkg.testing.kubernetes.real_node import Cluster
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S, KUBERNETES_WAIT_S
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

SERVE = "exec busybox httpd -f -p 8080 -h /www"


@pytest.fixture
def namespace(kubernetes_cluster: Cluster) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    kubernetes_cluster.kubectl("create", "namespace", name)
    yield name
    kubernetes_cluster.kubectl("delete", "namespace", name, "--wait=false")


def pod(namespace: str, image: str, *, name: str = "app", **more: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "app", "image": image, "imagePullPolicy": "IfNotPresent"}
    container |= {"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}
    container |= more.pop("container", {})
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container], **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def status_of(cluster: Cluster, namespace: str, name: str = "app") -> Any:
    try:
        return cluster.get("pod", "-n", namespace, name)["status"]
    except KubectlError:
        return {}


def state_of(cluster: Cluster, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = status_of(cluster, namespace).get("containerStatuses", [{}])[0]
    return found


def wait_ready(cluster: Cluster, namespace: str, name: str = "app") -> str:
    """The Pod's address."""
    timeout = f"--timeout={KUBERNETES_WAIT_S:g}s"
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", f"pod/{name}", timeout)
    return str(status_of(cluster, namespace, name)["podIP"])


def answer_of(address: str, port: int) -> bytes | None:
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/", timeout=2) as answer:
            body: bytes = answer.read()
            return body
    except OSError:
        return None


def test_a_pod_its_service_and_its_log_answer(kubernetes_cluster: Cluster, namespace: str) -> None:
    """Promise: this machine reaches Pods and NodePorts; logs and exec work; the Pod is as restricted as it asks."""
    cluster = kubernetes_cluster
    cluster.node.load(busybox_image("sealift.test/web:1", f"echo I am up\n{SERVE}"))
    restricted = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    web = pod(namespace, "sealift.test/web:1", container={"securityContext": restricted})
    port = {"port": 80, "targetPort": 8080}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app", "namespace": namespace}}
    cluster.apply(web, {**service, "spec": {"type": "NodePort", "selector": {"app": "app"}, "ports": [port]}})
    address = wait_ready(cluster, namespace)
    assert answer_of(address, 8080) == b"hello from a Pod\n"
    node_port = cluster.get("service", "-n", namespace, "app")["spec"]["ports"][0]["nodePort"]
    eventually(
        lambda: answer_of(cluster.node.address, node_port), within_s=KUBERNETES_WAIT_S, what="the NodePort answers"
    )
    assert cluster.kubectl("logs", "-n", namespace, "app") == "I am up\n"
    assert "uid=1000" in cluster.kubectl("exec", "-n", namespace, "app", "--", "/bin/busybox", "id")


def test_a_pod_over_its_memory_limit_is_killed(kubernetes_cluster: Cluster, namespace: str) -> None:
    """Promise: limits are real."""
    cluster = kubernetes_cluster
    cluster.node.load(busybox_image("sealift.test/fat:1", "exec busybox tail /dev/zero"))
    cluster.apply(pod(namespace, "sealift.test/fat:1", container={"resources": {"limits": {"memory": "32Mi"}}}))

    def is_killed() -> bool:
        state = state_of(cluster, namespace)
        ended = state.get("state", {}).get("terminated") or state.get("lastState", {}).get("terminated") or {}
        return (ended.get("reason"), ended.get("exitCode")) == ("OOMKilled", 137)

    eventually(is_killed, within_s=KUBERNETES_WAIT_S, what="OOMKilled")


def test_images_come_from_a_registry_with_login(kubernetes_cluster: Cluster, namespace: str) -> None:
    """Promise: containerd pulls by digest with the Pod's pull secret, and its refusal without one is in the status."""
    cluster = kubernetes_cluster
    with DockerRegistry(login="basic") as registry:
        cluster.node.forward_loopback(registry.host)
        image = asyncio.run(push_image(registry, busybox_image("apps/web:1", SERVE)))
        cluster.apply(pod(namespace, image))

        def refusal() -> str:
            waiting = state_of(cluster, namespace).get("state", {}).get("waiting", {})
            return str(waiting.get("message", "")) if waiting.get("reason") == "ErrImagePull" else ""

        assert "401 Unauthorized" in eventually(refusal, within_s=KUBERNETES_WAIT_S, what="ErrImagePull")
        assert PULLER.password is not None
        cluster.kubectl(
            "create", "secret", "docker-registry", "-n", namespace, "pull", f"--docker-server={registry.host}",
            f"--docker-username={PULLER.username}", f"--docker-password={PULLER.password.reveal()}",
        )  # fmt: skip
        cluster.apply(pod(namespace, image, name="allowed", imagePullSecrets=[{"name": "pull"}]))
        address = wait_ready(cluster, namespace, "allowed")
        assert answer_of(address, 8080) == b"hello from a Pod\n"


def test_pods_go_on_without_their_kubelet(kubernetes_cluster: Cluster, namespace: str) -> None:
    """Promise: kill -9 of kubelet and containerd ends no Pod, and both are there again after a start."""
    cluster = kubernetes_cluster
    cluster.node.load(busybox_image("sealift.test/web:1", f"echo I am up\n{SERVE}"))
    cluster.apply(pod(namespace, "sealift.test/web:1"))
    address = wait_ready(cluster, namespace)
    for program in (cluster.node.kubelet, cluster.node.containerd):
        before = program.pid
        program.kill()
        assert not program.is_running
        assert answer_of(address, 8080)
        program.start()
        assert program.pid != before
    with cluster.node.kubelet.paused():
        assert answer_of(address, 8080)
    cluster.apply(pod(namespace, "sealift.test/web:1", name="second"))
    wait_ready(cluster, namespace, "second")
    assert state_of(cluster, namespace)["restartCount"] == 0


OWNER = """
import sys
from pkg.testing.kubernetes.real_node import Cluster
cluster = Cluster()
cluster.start()
print(cluster.node.folder, cluster.folder, cluster.node.cgroup, cluster.node.host_address, flush=True)
sys.stdin.read()
"""


def test_a_cluster_ends_with_its_owner() -> None:
    """Promise: kill -9 of the process that started a cluster ends all of it; the next one removes its files."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdin is not None
    with owner.stdin, owner.stdout:
        *folders, group, address = owner.stdout.readline().split()
        assert all(folder in command_lines() for folder in folders)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    eventually(lambda: address not in addresses(), within_s=KUBERNETES_WAIT_S, what="the link is gone")
    eventually(
        lambda: not any(folder in command_lines() for folder in folders),
        within_s=KUBERNETES_WAIT_S,
        what="every process has ended",
    )
    Cluster().stop()
    assert not any(Path(folder).exists() for folder in folders)
    assert not list(Path("/sys/fs/cgroup").glob(f"*{group}")) + list(
        Path("/sys/fs/cgroup").glob(f"*/{group.strip('/')}")
    )


def addresses() -> str:
    return subprocess.run(["ip", "-4", "address"], capture_output=True, text=True, check=True).stdout


def command_lines() -> str:
    found = ""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += process.read_text()
        except OSError:
            continue
    return found
