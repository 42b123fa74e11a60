"""A whole krane on a cluster for tests, with the role that the manifests give it, and requests to its endpoints."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from pkg.ids import new_id
from pkg.kubernetes.config import Kubernetes
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.wait import KUBERNETES_WAIT_S, WAIT_S
from svc.krane.runtime.kubernetes.identity import LABEL_INSTALLATION
from svc.krane.testing.cluster import FakeCluster
from svc.krane.testing.harness import KraneHarness, eventually
from svc.krane.testing.kubernetes import ALLOWED

ROLE = Path(__file__).parents[3] / "dev/k8s/base/krane-rbac.yaml"


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


@asynccontextmanager
async def load(
    harness: KraneHarness, deployment_id: str, paths: Sequence[str] = ("/",), threads: int = 3
) -> AsyncIterator[list[str]]:
    """Requests to the endpoints that the ingress has, `threads` at the same time, once it has one; what failed.

    At the end each request under way is awaited: one that is never answered has failed.
    """
    failed: list[str] = []
    over = asyncio.Event()
    await eventually(lambda: harness.ingress.healthy(deployment_id), KUBERNETES_WAIT_S)  # it is reported before

    async def ask() -> None:
        timeout = aiohttp.ClientTimeout(total=WAIT_S)
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            for number in itertools.count():
                if over.is_set():
                    return
                healthy = harness.ingress.healthy(deployment_id)
                endpoint, path = healthy[number % len(healthy)], paths[number // len(healthy) % len(paths)]
                try:
                    async with session.get(f"http://{endpoint.address}:{endpoint.port}{path}") as answer:
                        assert answer.status == 200
                except (aiohttp.ClientError, TimeoutError) as error:
                    failed.append(f"{endpoint.address}: {error!r}")
                await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(ask()) for _ in range(threads)]
    try:
        yield failed
    finally:
        over.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        failed += [repr(one) for one in ended if one is not None]
