"""The disk of instances, on a real engine: who passes the bound is ended, who served is made again."""

import aiohttp
import docker

from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.testing.harness import SERVE, KraneHarness, containers, eventually, name_of

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
FAILED = deployment_pb2.INSTANCE_STATE_FAILED
FILL = "open('/root/cache', 'ab').write(bytes(24 << 20))"
FILLS_WHEN_ASKED = SERVE.replace(
    "def do_GET(self):", f"def do_GET(self):\n        if self.path == '/fill':\n            print('caching'); {FILL}"
)


async def test_a_start_that_fills_the_disk_fails_at_once(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: an app that writes more than its bound before it is healthy fails with a code and its output; what it
    wrote is gone."""
    await harness.start_krane()
    topology = harness.topology(f"print('unpacking'); {FILL}; import time; time.sleep(600)", disk_mib=16)
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), FAILED)
    assert report.code == "instance.disk_exceeded"
    assert report.reason == (
        "the app used 24 MiB of its own disk, more than [run] disk_mib = 16, and was ended before it was healthy"
    )
    assert list(report.log_tail) == ["unpacking"]
    assert containers(client, harness) == set()


async def test_who_serves_is_made_again_from_its_image(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: an instance that passes its bound starts again with an empty layer; last end and output are reported;
    others keep running."""
    await harness.start_krane()
    topology, other = harness.topology(FILLS_WHEN_ASKED, disk_mib=16), harness.topology(FILLS_WHEN_ASKED, disk_mib=64)
    before = {}
    for one in (topology, other):
        await harness.cluster.put(one)
        await harness.cluster.until_state(name_of(one), HEALTHY)
        before[one.deployment_id] = client.inspect_container(name_of(one))["Id"]
    for one in (other, topology):
        await eventually(lambda one=one: harness.ingress.healthy(one.deployment_id))  # type: ignore[misc]
        (endpoint,) = harness.ingress.healthy(one.deployment_id)
        async with aiohttp.ClientSession() as session, session.get(f"http://{endpoint.address}:8080/fill") as answer:
            assert answer.status == 200

    def has_ended() -> pb.InstanceReport | None:
        report = harness.cluster.instances[name_of(topology)]
        return report if report.HasField("last_exit") and report.state == HEALTHY else None

    report: pb.InstanceReport = await harness.cluster.until(has_ended)
    assert report.last_exit.reason == (
        "the app used 24 MiB of its own disk, more than [run] disk_mib = 16, and was ended"
    )
    assert report.last_exit.output[0] == "caching"
    told = [i.reason for r in harness.cluster.reports for i in r.instances if i.instance_id == name_of(topology)]
    assert f"{report.last_exit.reason}; it is being made again from its image" in told
    assert client.inspect_container(name_of(topology))["Id"] != before[topology.deployment_id]
    (raw,) = client.containers(filters={"name": name_of(topology)}, size=True)
    assert raw.get("SizeRw", 0) < 1 << 20
    assert client.inspect_container(name_of(other))["Id"] == before[other.deployment_id]
    assert harness.cluster.instances[name_of(other)].state == HEALTHY


async def test_an_adopted_instance_is_watched(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: another krane, with a smaller bound, makes nothing again for that, and ends what is above it."""
    await harness.start_krane()
    small, large = harness.topology(disk_mib=64), harness.topology(f"{FILL}\n{SERVE}", disk_mib=64)
    for one in (small, large):
        await harness.cluster.put(one)
        await harness.cluster.until_state(name_of(one), HEALTHY)
        await eventually(
            lambda one=one: client.inspect_container(name_of(one))["HostConfig"]["RestartPolicy"]["Name"] != "no"  # type: ignore[misc]
        )
    first = client.inspect_container(name_of(small))["Id"]
    await harness.stop_krane()
    for one in (small, large):
        one.settings.disk_mib = 16
        await harness.cluster.put(one)
    await harness.start_krane()
    await harness.cluster.until(lambda: "disk_mib = 16" in harness.cluster.instances[name_of(large)].last_exit.reason)
    assert client.inspect_container(name_of(small))["Id"] == first
