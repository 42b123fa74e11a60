"""krane as a whole, on a real engine: instances come, stay and go as the desired state says."""

import asyncio
import contextlib

import docker
import docker.errors

from pkg.images import INSTALLATION_LABEL
from pkg.networks import bridge_device
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.run import Timing
from svc.krane.testing.engine import derived_image
from svc.krane.testing.harness import SERVE, KraneHarness, containers, eventually, name_of

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
UNHEALTHY = deployment_pb2.INSTANCE_STATE_UNHEALTHY
FAILED = deployment_pb2.INSTANCE_STATE_FAILED
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED


async def test_a_topology_becomes_a_healthy_instance_with_all_limits(
    harness: KraneHarness, client: docker.APIClient
) -> None:
    # Promise: what is wanted runs, isolated and bounded, and the ingress and the api know it.
    await harness.start_krane()
    topology = harness.topology(variables={"GREETING": "hi", "PORT": "1", "SEALIFT_REGION": "mine"})
    topology.public_url = "https://hello.example:8443"
    await harness.cluster.put(topology)
    report = await harness.cluster.until_state(name_of(topology), HEALTHY)
    assert report.image_id == harness.image_id
    assert report.last_probe == "GET / answered 200"
    assert [e.port for e in harness.ingress.healthy(topology.deployment_id)] == [8080]

    await eventually(
        lambda: client.inspect_container(name_of(topology))["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    )
    raw = client.inspect_container(name_of(topology))
    host, environment = raw["HostConfig"], raw["Config"]["Env"]
    assert host["Memory"] == host["MemorySwap"] == 64 * 1024 * 1024
    assert host["CpuQuota"] / host["CpuPeriod"] == 0.5
    assert host["PidsLimit"] == 512
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["Privileged"]
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert "GREETING=hi" in environment
    assert "PORT=8080" in environment, "the platform's variables win"
    assert f"SEALIFT_REGION={harness.config().region}" in environment
    assert f"SEALIFT_DEPLOYMENT_ID={topology.deployment_id}" in environment
    assert "SEALIFT_PUBLIC_URL=https://hello.example:8443" in environment
    assert "SEALIFT_HOSTNAME=hello.example" in environment
    network = client.inspect_network(harness.engine_network)
    assert network["Options"]["com.docker.network.bridge.name"] == bridge_device(harness.network)
    own = raw["NetworkSettings"]["Networks"][harness.engine_network]
    assert own["IPAMConfig"]["IPv4Address"] == own["IPAddress"], "krane assigned the address"
    assert network["Options"]["com.docker.network.bridge.enable_icc"] == "false"
    assert network["Labels"]["sealift.installation"] == harness.installation_id


async def test_replicas_start_together_and_surplus_ones_leave(harness: KraneHarness, client: docker.APIClient) -> None:
    # Promise: the count of instances follows the topology both ways.
    await harness.start_krane()
    topology = harness.topology(replicas=2)
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology, 0), HEALTHY)
    await harness.cluster.until_state(name_of(topology, 1), HEALTHY)
    first = client.inspect_container(name_of(topology, 0))["Id"]
    topology.settings.replicas = 1
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology, 1), STOPPED)
    assert containers(client, harness) == {name_of(topology, 0)}
    assert client.inspect_container(name_of(topology, 0))["Id"] == first, "the remaining one was not touched"
    assert len(harness.ingress.endpoints[topology.deployment_id]) == 1


async def test_only_orphans_with_exactly_our_labels_are_removed(
    harness: KraneHarness, client: docker.APIClient
) -> None:
    # Promise: deleting touches only what carries our labels: installation and region, both exactly.
    def make(name: str, labels: dict[str, str]) -> str:
        made = client.create_container(
            harness.image_id, command=["python3", "-c", "import time; time.sleep(600)"], name=name, labels=labels
        )
        client.start(made["Id"])
        return name

    base = {"sealift.installation": harness.installation_id, "sealift.deployment": "dep_x", "sealift.replica": "0"}
    suffix = harness.installation_id[-8:]
    orphan = make(f"dep-x-{suffix}-0", {**base, "sealift.region": "test"})
    elsewhere = make(f"dep-x-{suffix}-1", {**base, "sealift.region": "test2"})
    no_region = make(f"dep-x-{suffix}-2", base)
    await harness.start_krane()
    await eventually(lambda: orphan not in containers(client, harness))
    assert containers(client, harness) == {elsewhere, no_region}


async def test_a_stop_waits_until_the_ingress_lets_go(harness: KraneHarness, client: docker.APIClient) -> None:
    # Promise: krane never stops an instance that its ingress still lists, however often it should.
    await harness.start_krane()
    old, new = harness.topology(), harness.topology()
    for topology in (old, new):
        await harness.cluster.put(topology)
        await harness.cluster.until_state(name_of(topology), HEALTHY)
    version = await harness.cluster.route("app.example", old.deployment_id)
    await harness.cluster.until(lambda: any(one.version >= version for one in harness.cluster.applied))

    harness.ingress.is_held = True
    version = await harness.cluster.route("app.example", new.deployment_id)
    await harness.cluster.remove(old.deployment_id)
    marker = harness.topology("raise SystemExit(1)")  # other work continues meanwhile
    await harness.cluster.put(marker)
    await harness.cluster.until_state(name_of(marker), FAILED)
    assert client.inspect_container(name_of(old))["State"]["Running"]
    assert not [one for one in harness.cluster.applied if one.version >= version]

    harness.ingress.release()
    await harness.cluster.until(lambda: any(one.version >= version for one in harness.cluster.applied))
    await harness.cluster.until_state(name_of(old), STOPPED)
    assert client.inspect_container(name_of(new))["State"]["Running"]
    assert old.deployment_id in harness.ingress.removed


async def test_what_was_healthy_is_restarted_and_heals(harness: KraneHarness, client: docker.APIClient) -> None:
    # Promise: a crash after going live is unhealthy, not failed; the engine restarts it, krane sees it healthy again.
    await harness.start_krane()
    script = SERVE.replace("def do_GET(self):", "def do_GET(self):\n        self.path == '/die' and os._exit(7)")
    topology = harness.topology(script)
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    await eventually(
        lambda: client.inspect_container(name_of(topology))["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    )
    endpoint = harness.ingress.healthy(topology.deployment_id)[0]
    reader, writer = await asyncio.open_connection(endpoint.address, endpoint.port)
    writer.write(b"GET /die HTTP/1.0\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()
    report = await harness.cluster.until_state(name_of(topology), UNHEALTHY)
    # While the engine restarts it, its address may answer nothing at all.
    told = ("exited with code 7", "cannot be reached", "refused", "no connection within")
    assert any(words in report.reason for words in told)
    report = await harness.cluster.until_state(name_of(topology), HEALTHY)
    assert report.restarts == 1


async def test_a_container_removed_by_hand_comes_back(harness: KraneHarness, client: docker.APIClient) -> None:
    # Promise: drift is corrected at once, by the engine's events.
    await harness.start_krane()
    topology = harness.topology()
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    first = client.inspect_container(name_of(topology))["Id"]
    client.remove_container(first, force=True)

    def is_back() -> bool:
        try:
            return bool(client.inspect_container(name_of(topology))["Id"] != first)
        except docker.errors.NotFound:
            return False

    await eventually(is_back)
    await eventually(lambda: harness.ingress.healthy(topology.deployment_id))


async def test_a_container_that_lost_its_network_is_made_again(harness: KraneHarness, client: docker.APIClient) -> None:
    # Promise: an instance that runs where nobody reaches it does not stay so.
    harness.timing = Timing(stop_grace_s=1, resync_s=0.5)
    await harness.start_krane()
    topology = harness.topology()
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    name = name_of(topology)
    await eventually(lambda: client.inspect_container(name)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped")
    first = client.inspect_container(name)["Id"]
    client.disconnect_container_from_network(name, harness.engine_network, force=True)

    def is_back() -> bool:
        with contextlib.suppress(docker.errors.NotFound):
            raw = client.inspect_container(name)
            place = raw["NetworkSettings"]["Networks"].get(harness.engine_network, {}).get("IPAddress")
            return raw["Id"] != first and [place] == [
                e.address for e in harness.ingress.healthy(topology.deployment_id)
            ]
        return False

    await eventually(is_back)


async def test_a_container_that_was_paused_by_hand_is_named(harness: KraneHarness, client: docker.APIClient) -> None:
    # Promise: the reason says what to do; it stays paused, as the person who paused it may still need that.
    harness.timing = Timing(stop_grace_s=1, resync_s=0.5)
    await harness.start_krane()
    topology = harness.topology()
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    client.pause(name_of(topology))
    try:
        await harness.cluster.until_state(name_of(topology), UNHEALTHY)
        await eventually(lambda: "docker unpause" in harness.cluster.instances[name_of(topology)].reason)
    finally:
        client.unpause(name_of(topology))
    await harness.cluster.until_state(name_of(topology), HEALTHY)


async def test_a_stopped_deployment_wakes_again(harness: KraneHarness, client: docker.APIClient) -> None:
    # Promise: stop keeps nothing running; wake brings the same deployment back.
    await harness.start_krane()
    topology = harness.topology()
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    topology.stopped = True
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), STOPPED)
    assert containers(client, harness) == set()
    # and costs nothing from then on, however many there were
    await eventually(lambda: f"reconcile {topology.deployment_id}" not in {t.get_name() for t in asyncio.all_tasks()})
    topology.stopped = False
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    assert harness.ingress.healthy(topology.deployment_id)


async def test_unused_images_are_deleted_from_the_engine(harness: KraneHarness, client: docker.APIClient) -> None:
    """Promise: krane itself keeps the disk of its engine bounded; what runs keeps its image, whatever the api says."""
    harness.timing = Timing(stop_grace_s=1, first_cleanup_s=0)

    def build(word: str) -> str:
        lines = [f"LABEL {INSTALLATION_LABEL}={harness.installation_id}", f"LABEL word={word}"]
        return derived_image(client, harness.image_id, lines, harness.installation_id)

    unused, running, needed = (build(word) for word in ("unused", "running", "needed"))
    topology = harness.topology()
    topology.image_ref = f"engine:{running}"
    await harness.start_krane()
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    await harness.stop_krane()
    harness.cluster.images.clear()
    harness.cluster.unused_images = {f"engine:{unused}", f"engine:{running}"}
    await harness.start_krane()
    (asked,) = await harness.cluster.until(lambda: harness.cluster.images)
    assert {image.image_ref for image in asked.images} == {f"engine:{one}" for one in (unused, running, needed)}
    await eventually(lambda: not client.images(filters={"label": "word=unused"}))
    assert all(client.images(filters={"label": f"word={one}"}) for one in ("running", "needed"))
