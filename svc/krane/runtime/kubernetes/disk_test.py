"""The disk of instances, on a real node: who passes the bound is evicted, told apart, and made again if it served."""

from pathlib import Path

import aiohttp
import pytest

from pkg.testing.kubernetes.images import BUSYBOX, Image
from pkg.testing.kubernetes.real_node import Cluster
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S, KUBERNETES_WAIT_S
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.testing.harness import KraneHarness, eventually, name_of
from svc.krane.testing.kubernetes_krane import krane

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
FAILED = deployment_pb2.INSTANCE_STATE_FAILED
DISK_MIB = 16
FILLS_WHEN_ASKED = Image(
    "docker.io/sealift-test/fills:1",
    ["/bin/sh", "/script"],
    {
        "/bin/busybox": BUSYBOX,
        "/www/index.html": b"here\n",
        "/fill": b"#!/bin/sh\nbusybox dd if=/dev/zero of=/cache bs=1M count=48 2>/dev/null\necho; echo filled\n",
        "/script": b"""
busybox mkdir -p /www/cgi-bin
busybox cp /fill /www/cgi-bin/fill
busybox chmod +x /www/cgi-bin/fill
[ -z "$FILL" ] || { echo unpacking; /www/cgi-bin/fill; busybox sleep 600; }
exec busybox httpd -f -p 8080 -h /www
""",
    },
    {"/bin/sh": "busybox"},
)


def topology_of(harness: KraneHarness, **variables: str) -> pb.Topology:
    check = {"path": "/", "interval_ms": 200, "timeout_ms": 20000, "start_timeout_s": 300}
    topology = harness.topology(disk_mib=DISK_MIB, cpu_millicores=100, health_check=check, variables=variables)
    topology.image_ref = FILLS_WHEN_ASKED.name.removeprefix("docker.io/")
    topology.settings.ClearField("command")
    return topology


async def test_the_disk_of_real_pods_has_a_bound(kubernetes_cluster: Cluster, tmp_path: Path) -> None:
    """Promise: a start that fills the disk fails with the code of a Docker engine; an instance that served is made
    again with an empty disk, and its end is reported."""
    kubernetes_cluster.node.load(FILLS_WHEN_ASKED)
    async with krane(tmp_path, kubernetes_cluster) as harness:
        await harness.start_krane()
        serves, fills = topology_of(harness), topology_of(harness, FILL="1")
        await harness.cluster.put(serves)
        await harness.cluster.put(fills)
        await harness.cluster.until_state(name_of(serves), HEALTHY, KUBERNETES_WAIT_S)
        await eventually(lambda: harness.ingress.healthy(serves.deployment_id))
        (endpoint,) = harness.ingress.healthy(serves.deployment_id)
        url = f"http://{endpoint.address}:{endpoint.port}"
        async with aiohttp.ClientSession() as session, session.get(f"{url}/cgi-bin/fill") as answer:
            assert (await answer.text()).strip() == "filled"
        report = await harness.cluster.until_state(name_of(fills), FAILED, KUBERNETES_WAIT_S)
        assert report.code == "instance.disk_exceeded"
        assert f"more of its own disk than [run] disk_mib = {DISK_MIB}" in report.reason

        def is_again() -> pb.InstanceReport | None:
            found = harness.cluster.instances[name_of(serves)]
            return found if f"disk_mib = {DISK_MIB}" in found.last_exit.reason and found.state == HEALTHY else None

        await harness.cluster.until(is_again, KUBERNETES_WAIT_S)
        await eventually(lambda: harness.ingress.healthy(serves.deployment_id))
        (now,) = harness.ingress.healthy(serves.deployment_id)
        async with aiohttp.ClientSession() as session, session.get(f"http://{now.address}:{now.port}/") as answer:
            assert answer.status == 200
