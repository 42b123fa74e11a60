"""A node that is drained: its Pods are evicted under load, one after the other, and no request fails."""

import asyncio
import json
from pathlib import Path

import pytest

from pkg.testing.kubernetes.control_plane import KubectlError
from pkg.testing.kubernetes.images import BUSYBOX, Image
from pkg.testing.kubernetes.real_node import Cluster
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S, KUBERNETES_WAIT_S
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.runtime.contract import eventually as until
from svc.krane.runtime.kubernetes import objects
from svc.krane.runtime.kubernetes.identity import Identity
from svc.krane.testing.harness import REGION, KraneHarness, eventually, name_of
from svc.krane.testing.kubernetes_krane import krane, load

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
SLOW = "/cgi-bin/slow"  # takes a second
# It ends at its stop signal without a word, whatever it is asked meanwhile.
ENDS_AT_ONCE = Image(
    "docker.io/sealift-test/slow-and-ends-at-once:1",
    ["/bin/sh", "/script"],
    {
        "/bin/busybox": BUSYBOX,
        "/www/index.html": b"here\n",
        "/slow": b"#!/bin/sh\nsleep 1\necho Content-Type: text/plain\necho\necho slow\n",
        "/script": b"""
trap 'busybox killall -9 busybox; exit 0' TERM
busybox mkdir /www/cgi-bin
busybox cp /slow /www/cgi-bin/slow
busybox chmod +x /www/cgi-bin/slow
busybox httpd -f -p 8080 -h /www & wait
""",
    },
    {"/bin/sh": "busybox", "/bin/sleep": "busybox"},
)


def evict(cluster: Cluster, namespace: str, pod: str) -> bool:
    """As `kubectl drain` does. False: the disruption budget does not allow it now."""
    eviction = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    try:
        cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    except KubectlError as error:
        if "disruption budget" not in str(error):
            raise
        return False
    return True


async def start(harness: KraneHarness, replicas: int) -> str:
    """A deployment of so many instances that are healthy; its id."""
    check = {"path": "/", "interval_ms": 200, "timeout_ms": 20000, "start_timeout_s": 300}
    topology = harness.topology(replicas=replicas, cpu_millicores=100, health_check=check)
    topology.image_ref = ENDS_AT_ONCE.name.removeprefix("docker.io/")
    topology.settings.ClearField("command")
    await harness.cluster.put(topology)
    for replica in range(replicas):
        await harness.cluster.until_state(name_of(topology, replica), HEALTHY, KUBERNETES_WAIT_S)
    return topology.deployment_id


async def replaced(cluster: Cluster, namespace: str, pod: str) -> None:
    """Evicts the Pod as soon as that is allowed, and waits until another one has its name."""
    before = uid_of(cluster, namespace, pod)

    async def is_evicted() -> bool | None:
        return await asyncio.to_thread(evict, cluster, namespace, pod) or None

    async def is_another() -> bool | None:
        return await asyncio.to_thread(uid_of, cluster, namespace, pod) not in ("", before) or None

    await until(is_evicted)
    await until(is_another)


async def test_a_drain_loses_no_request(
    kubernetes_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: requests that an instance is answering, or that were on their way to it, are answered; and the next
    instance is not evicted before the successor of the first one is healthy."""
    monkeypatch.setattr(objects, "STOP_DELAY_S", 15)  # a busy machine may be slow to tell krane
    kubernetes_cluster.node.load(ENDS_AT_ONCE)
    async with krane(tmp_path, kubernetes_cluster) as harness:
        await harness.start_krane()
        deployment_id = await start(harness, 2)
        namespace = Identity(harness.installation_id, REGION).namespace("ws_1")
        pods = [f"{deployment_id.replace('_', '-')}-{replica}" for replica in (0, 1)]
        async with load(harness, deployment_id, ("/", SLOW), 8) as failed:
            await asyncio.sleep(2)
            for pod in pods:
                await replaced(kubernetes_cluster, namespace, pod)
            await eventually(lambda: len(harness.ingress.healthy(deployment_id)) == 2, KUBERNETES_WAIT_S)
        assert failed == []


def uid_of(cluster: Cluster, namespace: str, pod: str) -> str:
    """Of the Pod; "" when there is none."""
    listed = cluster.get("pods", "-n", namespace, "--field-selector", f"metadata.name={pod}")["items"]
    return str(listed[0]["metadata"]["uid"]) if listed else ""
