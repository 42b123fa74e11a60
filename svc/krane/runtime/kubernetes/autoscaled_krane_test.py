"""A whole krane on a control plane, with the role that the manifests give it: it follows the cluster's autoscaler."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from pkg.ids import new_id
from pkg.kubernetes.config import Kubernetes
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.kubernetes.images import BUSYBOX, Image
from pkg.testing.kubernetes.metrics import FakeMetrics
from pkg.testing.kubernetes.real_node import Cluster
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.ingress.port import Endpoint
from svc.krane.runtime.kubernetes.autoscaling import NO_METRICS
from svc.krane.runtime.kubernetes.identity import LABEL_INSTALLATION
from svc.krane.testing.cluster import FakeCluster
from svc.krane.testing.harness import KraneHarness, eventually, name_of
from svc.krane.testing.kubernetes import ALLOWED, FAKE_IMAGE

ROLE = Path(__file__).parents[4] / "dev/k8s/base/krane-rbac.yaml"
HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED
MOST = 3
ENDS_AT_ONCE = Image(
    "docker.io/sealift-test/ends-at-once:1",
    ["/bin/sh", "-c", "trap 'exit 0' TERM; busybox httpd -f -p 8080 -h /www & wait"],
    {"/bin/busybox": BUSYBOX, "/www/index.html": b"here\n"},
    {"/bin/sh": "busybox", "/bin/sleep": "busybox"},
)
WITHIN_S = 40.0
SERVES_ON_S = 2.0


@asynccontextmanager
async def krane(folder: Path, plane: ControlPlane) -> AsyncIterator[KraneHarness]:
    """A krane on the plane, as a user that has only krane's role."""
    installation_id = new_id("inst")
    user = f"krane-{installation_id[-8:]}"
    kubectl = plane.kubectl
    kubectl("apply", "-f", str(ROLE))
    kubectl("create", "clusterrolebinding", user, "--clusterrole=sealift-krane", f"--user={user}")
    kubectl("create", "rolebinding", user, "--role=sealift-krane-leader", f"--user={user}")
    cluster = FakeCluster(installation_id)
    await cluster.start()
    settings = Kubernetes(
        kubeconfig=str(plane.kubeconfig_of(user)), ingress_ranges=("10.1.2.3/32",), lease_namespace="default"
    )
    harness = KraneHarness(
        folder, "", cluster, installation_id, backend="kubernetes", images=ALLOWED, kubernetes=settings
    )
    try:
        yield harness
    finally:
        await harness.stop_krane()
        await cluster.stop()
        kubectl("delete", "clusterrolebinding", user)
        kubectl("delete", "rolebinding", user)
        ours = f"{LABEL_INSTALLATION}={installation_id}"
        kubectl("delete", "namespace", "-l", ours, "--wait=false", "--ignore-not-found")


def bounded(harness: KraneHarness, image: str = FAKE_IMAGE) -> pb.Topology:
    check = {"path": "/", "interval_ms": 200, "timeout_ms": 500, "start_timeout_s": 60}
    topology = harness.topology(replicas=1, min_replicas=1, max_replicas=MOST, cpu_millicores=100, health_check=check)
    topology.image_ref = image
    topology.settings.ClearField("command")
    return topology


@asynccontextmanager
async def load(harness: KraneHarness, topology: pb.Topology) -> AsyncIterator[list[str]]:
    """Requests to the endpoints that the ingress has, as many at once as instances may be; what failed."""
    failed: list[str] = []

    async def ask() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            while True:
                endpoint = random.choice(harness.ingress.healthy(topology.deployment_id))
                try:
                    async with session.get(f"http://{endpoint.address}:{endpoint.port}/") as answer:
                        assert answer.status == 200
                except aiohttp.ClientError as error:
                    failed.append(f"{endpoint.address}: {error}")
                await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(ask()) for _ in range(MOST)]
    try:
        yield failed
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        failed += [repr(one) for one in ended if not isinstance(one, asyncio.CancelledError)]


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
    await harness.cluster.until_state(name_of(topology), HEALTHY, WITHIN_S)
    async with load(harness, topology) as failed:
        metrics.cpu_millicores = 200
        await eventually(lambda: len(harness.ingress.healthy(topology.deployment_id)) == MOST, WITHIN_S)
        served = harness.ingress.healthy(topology.deployment_id)
        metrics.cpu_millicores = 1
        await eventually(lambda: len(harness.ingress.endpoints[topology.deployment_id]) == 1, WITHIN_S)
        kept = harness.ingress.healthy(topology.deployment_id)
        await serve_on([one for one in served if one not in kept])
        for replica in range(1, MOST):
            await harness.cluster.until_state(name_of(topology, replica), STOPPED, WITHIN_S)
    assert failed == []
    assert harness.cluster.instances[name_of(topology)].scaling_notice == ""


async def test_krane_follows_the_autoscaler(kubernetes_plane: ControlPlane, tmp_path: Path) -> None:
    """Promise: what the cluster's autoscaler adds is probed and gets requests, what it ends gets none before it ends,
    and a krane that is started in between finds the number that it wants."""
    async with krane(tmp_path, kubernetes_plane) as harness, FakeMetrics(kubernetes_plane) as metrics:
        topology = bounded(harness)
        await scale_under_load(harness, metrics, topology)
        metrics.cpu_millicores = 200
        await eventually(lambda: len(harness.ingress.healthy(topology.deployment_id)) == MOST, WITHIN_S)
        await harness.stop_krane()
        await harness.start_krane()
        await eventually(lambda: len(harness.ingress.healthy(topology.deployment_id)) == MOST, WITHIN_S)
        await harness.cluster.remove(topology.deployment_id)
        for replica in range(MOST):
            await harness.cluster.until_state(name_of(topology, replica), STOPPED, WITHIN_S)


async def test_real_pods_leave_without_a_failed_request(kubernetes_cluster: Cluster, tmp_path: Path) -> None:
    """Promise: an app that ends at its stop signal without a word serves until the ingress has let go of it: the node
    waits with the image's `sleep`."""
    kubernetes_cluster.node.load(ENDS_AT_ONCE)
    async with krane(tmp_path, kubernetes_cluster) as harness, FakeMetrics(kubernetes_cluster) as metrics:
        topology = bounded(harness, ENDS_AT_ONCE.name.removeprefix("docker.io/"))
        await scale_under_load(harness, metrics, topology)
        await harness.cluster.remove(topology.deployment_id)
        await harness.cluster.until_state(name_of(topology), STOPPED, WITHIN_S)


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
