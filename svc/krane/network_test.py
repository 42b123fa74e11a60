"""The network of an earlier version beside today's, on a real engine."""

import docker

from sealift.ctrl.v1 import deployment_pb2
from svc.krane.testing.lab import REGION, Lab, eventually, name_of

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY


async def test_an_old_network_goes_once_it_is_empty(lab: Lab, client: docker.APIClient) -> None:
    """Nothing is restarted for a new network: new instances go there, the old one stays while somebody is on it."""
    labels = {"sealift.installation": lab.installation_id, "sealift.region": REGION}
    client.create_network(lab.network, driver="bridge", labels=labels)
    host = client.create_host_config(network_mode=lab.network)
    waits = ["python3", "-c", "input()"]
    other = client.create_container(lab.image_id, command=waits, labels=labels, host_config=host)
    await lab.start_krane()
    topology = lab.topology()
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), HEALTHY)
    networks = client.inspect_container(name_of(topology))["NetworkSettings"]["Networks"]
    assert set(networks) == {lab.engine_network}
    assert client.inspect_network(lab.network), "a container of ours is on it"
    client.remove_container(other["Id"], force=True)
    await lab.stop_krane()
    await lab.start_krane()
    await eventually(lambda: not client.networks(names=[f"^{lab.network}$"]))
    assert client.inspect_container(name_of(topology))["State"]["Running"]
