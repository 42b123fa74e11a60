"""A whole krane on a control plane, with the role that the manifests give it: it follows the cluster's autoscaler."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.kubernetes.images import BUSYBOX, Image
from pkg.testing.kubernetes.metrics import FakeMetrics
from pkg.testing.kubernetes.real_node import Cluster
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S, KUBERNETES_WAIT_S
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.ingress.port import Endpoint
from svc.krane.runtime.kubernetes import objects
from svc.krane.runtime.kubernetes.autoscaling import NO_METRICS
from svc.krane.testing.harness import KraneHarness, eventually, name_of
from svc.krane.testing.kubernetes import FAKE_IMAGE
from svc.krane.testing.kubernetes_krane import krane, load

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED
MOST = 3
ENDS_AT_ONCE = Image(
    "docker.io/sealift-test/ends-at-once:1",
    ["/bin/sh", "-c", "trap 'exit 0' TERM; busybox httpd -f -p 8080 -h /www & wait"],
    {"/bin/busybox": BUSYBOX, "/www/index.html": b"here\n"},
    {"/bin/sh": "busybox", "/bin/sleep": "busybox"},
)
SERVES_ON_S = 2.0


def bounded(harness: KraneHarness, image: str = FAKE_IMAGE) -> pb.Topology:
    check = {"path": "/", "interval_ms": 200, "timeout_ms": 20000, "start_timeout_s": 300}
    topology = harness.topology(replicas=1, min_replicas=1, max_replicas=MOST, cpu_millicores=100, health_check=check)
    topology.image_ref = image
    topology.settings.ClearField("command")
    return topology


async def serve_on(left: list[Endpoint]) -> None:
    """Those that left the ingress answer for a while: an ingress may be slower than this one."""
    assert len(left) == MOST - 1
    ends_at = asyncio.get_running_loop().time() + SERVES_ON_S
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        while asyncio.get_running_loop().time() < ends_at:
            for endpoint in left:
                async with session.get(f"http://{endpoint.address}:{endpoint.port}/") as answer:
                    assert answer.status == 200
            await asyncio.sleep(0.05)


async def scale_under_load(harness: KraneHarness, metrics: FakeMetrics, topology: pb.Topology) -> None:
    """From one instance to the most and back by the CPU that they use, with no failed request."""
    await harness.start_krane()
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY, KUBERNETES_WAIT_S)
    async with load(harness, topology.deployment_id, threads=MOST) as failed:
        metrics.cpu_millicores = 200
        await eventually(lambda: len(harness.ingress.healthy(topology.deployment_id)) == MOST, KUBERNETES_WAIT_S)
        served = harness.ingress.healthy(topology.deployment_id)
        metrics.cpu_millicores = 1
        await eventually(lambda: len(harness.ingress.endpoints[topology.deployment_id]) == 1, KUBERNETES_WAIT_S)
        kept = harness.ingress.healthy(topology.deployment_id)
        await serve_on([one for one in served if one not in kept])
        for replica in range(1, MOST):
            await harness.cluster.until_state(name_of(topology, replica), STOPPED, KUBERNETES_WAIT_S)
    assert failed == []
    assert harness.cluster.instances[name_of(topology)].scaling_notice == ""


async def test_krane_follows_the_autoscaler(kubernetes_plane: ControlPlane, tmp_path: Path) -> None:
    """Promise: what the cluster's autoscaler adds is probed and gets requests, what it ends gets none before it ends,
    and a krane that is started in between finds the number that it wants."""
    async with krane(tmp_path, kubernetes_plane) as harness, FakeMetrics(kubernetes_plane) as metrics:
        topology = bounded(harness)
        await scale_under_load(harness, metrics, topology)
        metrics.cpu_millicores = 200
        await eventually(lambda: len(harness.ingress.healthy(topology.deployment_id)) == MOST, KUBERNETES_WAIT_S)
        await harness.stop_krane()
        await harness.start_krane()
        await eventually(lambda: len(harness.ingress.healthy(topology.deployment_id)) == MOST, KUBERNETES_WAIT_S)
        await harness.cluster.remove(topology.deployment_id)
        for replica in range(MOST):
            await harness.cluster.until_state(name_of(topology, replica), STOPPED, KUBERNETES_WAIT_S)


async def test_real_pods_leave_without_a_failed_request(
    kubernetes_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: an app that ends at its stop signal without a word serves until the ingress has let go of it: the node
    waits with the image's `sleep`."""
    monkeypatch.setattr(objects, "STOP_DELAY_S", 15)  # a busy machine may be slow to tell krane
    kubernetes_cluster.node.load(ENDS_AT_ONCE)
    async with krane(tmp_path, kubernetes_cluster) as harness, FakeMetrics(kubernetes_cluster) as metrics:
        topology = bounded(harness, ENDS_AT_ONCE.name.removeprefix("docker.io/"))
        await scale_under_load(harness, metrics, topology)
        await harness.cluster.remove(topology.deployment_id)
        await harness.cluster.until_state(name_of(topology), STOPPED, KUBERNETES_WAIT_S)


async def test_without_metrics_the_least_number_runs_and_that_is_reported(
    kubernetes_plane: ControlPlane, tmp_path: Path
) -> None:
    """Promise: a deploy to a cluster without metrics becomes healthy, and its report says that nothing scales."""
    async with krane(tmp_path, kubernetes_plane) as harness:
        topology = bounded(harness)
        await harness.start_krane()
        await harness.cluster.put(topology)
        report = await harness.cluster.until_state(name_of(topology), HEALTHY)
        assert report.scaling_notice == NO_METRICS
        assert set(harness.cluster.instances) == {name_of(topology)}
