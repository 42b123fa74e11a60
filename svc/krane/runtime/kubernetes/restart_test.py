"""A whole krane on a control plane restarts and scales a deployment under load: no request fails."""

from pathlib import Path

from pkg.testing.kubernetes.control_plane import ControlPlane
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.testing.harness import KraneHarness, eventually, name_of
from svc.krane.testing.kubernetes import FAKE_IMAGE
from svc.krane.testing.kubernetes_krane import krane, load

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED
WITHIN_S = 240.0


def plain(harness: KraneHarness, replicas: int) -> pb.Topology:
    check = {"path": "/", "interval_ms": 200, "timeout_ms": 5000, "start_timeout_s": 200}
    topology = harness.topology(replicas=replicas, cpu_millicores=100, health_check=check)
    topology.image_ref = FAKE_IMAGE
    topology.settings.ClearField("command")
    return topology


async def runs(harness: KraneHarness, topology: pb.Topology) -> None:
    """All instances are healthy and made for the restart, and the one beyond the number is gone."""
    replicas = topology.settings.replicas

    def is_so() -> bool:
        seen = [harness.cluster.instances.get(name_of(topology, replica)) for replica in range(replicas + 1)]
        spare = seen.pop()
        return (spare is None or spare.state == STOPPED) and all(
            one is not None and one.state == HEALTHY and one.restart_generation == topology.restart_generation
            for one in seen
        )

    await harness.cluster.until(is_so, WITHIN_S)


async def test_a_restart_and_a_scale_lose_no_request(kubernetes_plane: ControlPlane, tmp_path: Path) -> None:
    """Promise: an only Pod is made again without a gap; more and fewer Pods cost no request; a restart that meets the
    end of krane goes on; every Pod is another one, and the StatefulSet has the number that is wanted."""
    async with krane(tmp_path, kubernetes_plane) as harness:
        topology = plain(harness, 1)
        await harness.start_krane()
        await harness.cluster.put(topology)
        await harness.cluster.until_state(name_of(topology), HEALTHY, WITHIN_S)
        async with load(harness, topology.deployment_id) as failed:
            topology.restart_generation = 4
            await harness.cluster.put(topology)
            await runs(harness, topology)
            topology.settings.replicas = 3
            await harness.cluster.put(topology)
            await runs(harness, topology)
            topology.settings.replicas = 2
            await harness.cluster.put(topology)
            await harness.cluster.until_state(name_of(topology, 2), STOPPED, WITHIN_S)
        assert failed == []
        topology.restart_generation = 9
        await harness.cluster.put(topology)
        made = "sealift.dev/restart"

        def pods() -> dict[str, str]:
            found = kubernetes_plane.get("pods", "-A", "-l", f"sealift.dev/deployment={topology.deployment_id}")
            return {pod["metadata"]["name"]: pod["metadata"]["annotations"].get(made, "") for pod in found["items"]}

        await eventually(lambda: "9" in pods().values(), WITHIN_S)
        await harness.stop_krane()
        await harness.start_krane()
        await runs(harness, topology)
        await eventually(lambda: pods() == {name_of(topology): "9", name_of(topology, 1): "9"}, WITHIN_S)
        assert len(harness.ingress.healthy(topology.deployment_id)) == 2
