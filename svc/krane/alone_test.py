"""krane after a restart, and while the api is away, on a real engine: it serves, heals and destroys nothing."""

import docker
import docker.errors

from sealift.ctrl.v1 import deployment_pb2
from svc.krane.testing.lab import Lab, containers, eventually, name_of

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY


async def test_a_restarted_krane_adopts_what_runs(lab: Lab, client: docker.APIClient) -> None:
    # Promise: nothing is deployed twice, and the api never sees a healthy instance flicker.
    await lab.start_krane()
    topology = lab.topology()
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), HEALTHY)
    before = client.inspect_container(name_of(topology))
    await lab.stop_krane()
    seen = len(lab.cluster.reports)
    await lab.start_krane()
    await lab.cluster.until(lambda: any(report.complete for report in lab.cluster.reports[seen:]))
    after = client.inspect_container(name_of(topology))
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    states = {one.state for report in lab.cluster.reports[seen:] for one in report.instances}
    assert states == {HEALTHY}
    await eventually(lambda: lab.ingress.is_ready)
    assert lab.ingress.healthy(topology.deployment_id)
    assert lab.cluster.watches[-1].after_version == lab.cluster.version, "the cursor was kept, no snapshot needed"


async def test_the_stored_snapshot_serves_and_heals_while_the_api_is_away(lab: Lab, client: docker.APIClient) -> None:
    # Promise: with the control plane away krane starts, serves the routes it knew, and brings back what is missing.
    await lab.start_krane()
    topology = lab.topology(variables={"SECRET": "s3cr3t-value"})
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), HEALTHY)
    version = await lab.cluster.route("app.example", topology.deployment_id)
    await lab.cluster.until(lambda: any(one.version >= version for one in lab.cluster.applied))
    await lab.stop_krane()
    stored = lab.folder / "krane" / "desired.snapshot"
    assert stored.stat().st_mode & 0o777 == 0o600
    assert b"s3cr3t-value" not in stored.read_bytes()

    await lab.cluster.stop()
    client.remove_container(name_of(topology), force=True)
    await lab.start_krane()
    await eventually(lambda: lab.ingress.is_ready)
    assert lab.ingress.routes == {"app.example": topology.deployment_id}
    await eventually(lambda: is_served_at(lab, client, name_of(topology)))
    assert containers(client, lab) == {name_of(topology)}


def is_served_at(lab: Lab, client: docker.APIClient, name: str) -> bool:
    """Whether the ingress sends requests to the container that has the name now."""
    try:
        networks = client.inspect_container(name)["NetworkSettings"]["Networks"]
    except docker.errors.NotFound:
        return False
    address = networks[lab.engine_network]["IPAddress"]
    return any(
        one.address == address != "" for listed in lab.ingress.endpoints.values() for one in listed if one.healthy
    )


async def test_without_the_api_nothing_is_deleted_for_being_unknown(lab: Lab, client: docker.APIClient) -> None:
    # Promise: a stored snapshot may be behind; only the api's word makes an instance an orphan.
    await lab.start_krane()
    old = lab.topology()
    await lab.cluster.put(old)
    await lab.cluster.until_state(name_of(old), HEALTHY)
    await lab.stop_krane()
    stored = lab.folder / "krane" / "desired.snapshot"
    behind = stored.read_bytes()
    await lab.start_krane()
    new = lab.topology()
    await lab.cluster.put(new)
    await lab.cluster.until_state(name_of(new), HEALTHY)
    await lab.stop_krane()
    await lab.cluster.stop()
    stored.write_bytes(behind)
    await lab.start_krane()
    await eventually(lambda: lab.ingress.is_ready)
    await eventually(lambda: lab.ingress.healthy(old.deployment_id))
    assert containers(client, lab) == {name_of(old), name_of(new)}
    seen = len(lab.cluster.reports)
    await lab.cluster.start()
    await lab.cluster.until(lambda: len(lab.cluster.reports) > seen)
    assert containers(client, lab) == {name_of(old), name_of(new)}


async def test_reports_are_repeated_until_the_api_takes_them(lab: Lab) -> None:
    # Promise: a verdict is never lost because the api was away for a moment.
    lab.cluster.refuse_reports = 3
    await lab.start_krane()
    topology = lab.topology()
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), HEALTHY)
    assert lab.cluster.refuse_reports == 0


async def test_presence_is_kept(lab: Lab) -> None:
    # Promise: the api knows the region, its engine, and that krane lives.
    await lab.start_krane()
    await lab.cluster.until(lambda: lab.cluster.heartbeats >= 1)
    last = lab.cluster.registrations[-1]
    assert (last.region, last.runtime, last.instance_id) == ("test", "docker", "inst_test")
    assert last.engine.startswith("Docker ")
