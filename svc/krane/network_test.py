"""The network of an earlier version beside today's, on a real engine."""

import asyncio
from pathlib import Path

import aiohttp
import docker

from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2, routing_pb2
from svc.krane.controller.topology import deployment_spec
from svc.krane.ingress.testing import running_ingress
from svc.krane.run import Timing
from svc.krane.runtime.docker.container_spec import Identity, container_config
from svc.krane.testing.harness import REGION, KraneHarness, eventually, name_of

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
RANGE = "10.99.99.0/28"  # ten addresses, one of them for what is live


async def test_an_old_network_goes_once_it_is_empty(harness: KraneHarness, client: docker.APIClient) -> None:
    """Nothing is restarted for a new network: new instances go there, the old one stays while somebody is on it."""
    labels = {"sealift.installation": harness.installation_id, "sealift.region": REGION}
    client.create_network(harness.network, driver="bridge", labels=labels)
    host = client.create_host_config(network_mode=harness.network)
    waits = ["python3", "-c", "input()"]
    other = client.create_container(harness.image_id, command=waits, labels=labels, host_config=host)
    await harness.start_krane()
    topology = harness.topology()
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    networks = client.inspect_container(name_of(topology))["NetworkSettings"]["Networks"]
    assert set(networks) == {harness.engine_network}
    assert client.inspect_network(harness.network), "a container of ours is on it"
    client.remove_container(other["Id"], force=True)
    await harness.stop_krane()
    await harness.start_krane()
    await eventually(lambda: not client.networks(names=[f"^{harness.network}$"]))
    assert client.inspect_container(name_of(topology))["State"]["Running"]


async def test_an_old_network_is_left_without_a_lost_request(
    harness: KraneHarness, client: docker.APIClient, short_dir: Path
) -> None:
    """What serves on the earlier network keeps serving until the next deploy has taken over; then the network goes."""
    harness.timing = Timing(stop_grace_s=1, resync_s=1)
    old, new = harness.topology(variables={"BODY": "old"}), harness.topology(variables={"BODY": "new"})
    before = as_before(client, harness, old)
    asked: list[tuple[int, str]] = []
    async with running_ingress(short_dir) as up:
        await harness.cluster.put(old)
        version = await harness.cluster.route("app.example", old.deployment_id)
        await harness.start_krane(up.ingress)
        await harness.cluster.until_state(name_of(old), HEALTHY)
        await harness.cluster.until(
            lambda: any(one.version >= version and not one.nacks for one in harness.cluster.applied)
        )

        async def ask() -> None:
            async with aiohttp.ClientSession(headers={"Host": "app.example"}) as session:
                while True:
                    async with session.get(f"http://127.0.0.1:{up.port}/") as answer:
                        asked.append((answer.status, await answer.text()))

        load = [asyncio.create_task(ask()) for _ in range(4)]
        try:
            await eventually(lambda: len(asked) >= 20)
            assert client.inspect_container(name_of(old))["Id"] == before, "it is adopted as it is"
            await harness.cluster.put(new)
            await harness.cluster.until_state(name_of(new), HEALTHY)
            await harness.cluster.route("app.example", new.deployment_id)
            await eventually(lambda: (200, "new") in asked)
            old.stopped = True
            await harness.cluster.put(old)
            await eventually(lambda: not client.networks(names=[f"^{harness.network}$"]))
            seen = len(asked)
            await eventually(lambda: len(asked) >= seen + 20)
        finally:
            for task in load:
                task.cancel()
            ended = await asyncio.gather(*load, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
        await harness.stop_krane()
    assert set(asked) == {(200, "old"), (200, "new")}
    bodies = [body for _, body in asked]
    assert (bodies[0], bodies[-1]) == ("old", "new")
    networks = client.inspect_container(name_of(new))["NetworkSettings"]["Networks"]
    assert set(networks) == {harness.engine_network}


def as_before(client: docker.APIClient, harness: KraneHarness, topology: pb.Topology) -> str:
    """Runs an instance as an earlier krane left it: healthy, on a /24 of the engine's choice. Its container's id."""
    identity = Identity(harness.installation_id, REGION)
    client.create_network(harness.network, driver="bridge", labels=identity.labels())
    config = container_config(deployment_spec(topology), harness.image_id, 0, identity, harness.network, "", init=False)
    del config["NetworkingConfig"]
    config["HostConfig"]["RestartPolicy"] = {"Name": "unless-stopped", "MaximumRetryCount": 0}
    made = client.create_container_from_config(config, name_of(topology))  # type: ignore[no-untyped-call]
    client.start(made)
    return str(made["Id"])


async def test_an_address_that_is_taken_by_hand_is_gone_round(harness: KraneHarness, client: docker.APIClient) -> None:
    """An address that somebody else has, or that the engine never got back, costs one more try."""
    harness.address_pool = RANGE
    await harness.start_krane()
    await eventually(lambda: client.networks(names=[f"^{harness.engine_network}$"]))
    endpoint = client.create_endpoint_config(ipv4_address="10.99.99.2")
    at = client.create_networking_config({harness.engine_network: endpoint})  # type: ignore[arg-type]
    labels = {"sealift.installation": harness.installation_id}
    other = client.create_container(
        harness.image_id, command=["python3", "-c", "input()"], tty=True, stdin_open=True, labels=labels,
        host_config=client.create_host_config(network_mode=harness.engine_network), networking_config=at,
    )  # fmt: skip
    client.start(other["Id"])
    topology = harness.topology()
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    assert [one.address for one in harness.ingress.healthy(topology.deployment_id)] == ["10.99.99.3"]
    assert client.inspect_container(other["Id"])["State"]["Running"]


async def test_a_full_network_is_said_at_once_and_what_serves_comes_back(
    harness: KraneHarness, client: docker.APIClient
) -> None:
    """The region names what ran out; a live app that was killed gets the address that is kept for it.

    A deployment of several replicas and a hostname of its own takes none that is kept, though one of them answers.
    """
    harness.address_pool = RANGE
    await harness.start_krane()
    live, others = harness.topology(), harness.topology(replicas=9, memory_mib=32)
    await harness.cluster.put(live)
    await harness.cluster.until_state(name_of(live), HEALTHY)
    await harness.cluster.route("app.example", live.deployment_id)
    await harness.cluster.route("others-1.example", others.deployment_id, routing_pb2.STICKY_KIND_NONE)
    await harness.cluster.put(others)
    waits = await harness.cluster.until(
        lambda: next((one for one in harness.cluster.instances.values() if one.waits_for == "addresses"), None)
    )
    assert "its network holds 10 instances, 9 have an address" in waits.reason
    before = client.inspect_container(name_of(live))["Id"]
    client.remove_container(before, force=True)
    await eventually(lambda: harness.ingress.healthy(live.deployment_id) and _id_of(client, name_of(live)) != before)


def _id_of(client: docker.APIClient, name: str) -> str:
    found = client.containers(filters={"name": [f"^/{name}$"]})
    return str(found[0]["Id"]) if found else ""
