"""krane after a restart, and while the api is away, on a real engine: it serves, heals and destroys nothing."""

import docker
import docker.errors

from sealift.ctrl.v1 import deployment_pb2
from svc.krane.testing.harness import KraneHarness, containers, eventually, name_of
from svc.krane.testing.routes import routes_to

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY


async def test_a_restarted_krane_adopts_what_runs(harness: KraneHarness, client: docker.APIClient) -> None:
    # Promise: nothing is deployed twice, and the api never sees a healthy instance flicker.
    await harness.start_krane()
    topology = harness.topology()
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    # From then on the engine keeps it running, and the next krane knows that it was healthy.
    await eventually(lambda: client.inspect_container(name_of(topology))["HostConfig"]["RestartPolicy"]["Name"] != "no")
    before = client.inspect_container(name_of(topology))
    await harness.stop_krane()
    seen = len(harness.cluster.reports)
    await harness.start_krane()
    await harness.cluster.until(lambda: any(report.complete for report in harness.cluster.reports[seen:]))
    after = client.inspect_container(name_of(topology))
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    states = {one.state for report in harness.cluster.reports[seen:] for one in report.instances}
    assert states == {HEALTHY}
    await eventually(lambda: harness.ingress.is_ready)
    assert harness.ingress.healthy(topology.deployment_id)
    assert harness.cluster.watches[-1].after_version == harness.cluster.version, (
        "the cursor was kept, no snapshot needed"
    )


async def test_the_stored_snapshot_serves_and_heals_while_the_api_is_away(
    harness: KraneHarness, client: docker.APIClient
) -> None:
    # Promise: with the control plane away krane starts, serves the routes it knew, and brings back what is missing.
    await harness.start_krane()
    topology = harness.topology(variables={"SECRET": "s3cr3t-value"})
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    version = await harness.cluster.route("app.example", topology.deployment_id)
    await harness.cluster.until(lambda: any(one.version >= version for one in harness.cluster.applied))
    await harness.stop_krane()
    stored = harness.folder / "krane" / "desired.snapshot"
    assert stored.stat().st_mode & 0o777 == 0o600
    assert b"s3cr3t-value" not in stored.read_bytes()

    await harness.cluster.stop()
    client.remove_container(name_of(topology), force=True)
    await harness.start_krane()
    await eventually(lambda: harness.ingress.is_ready)
    assert harness.ingress.routes == routes_to({"app.example": topology.deployment_id})
    await eventually(lambda: is_served_at(harness, client, name_of(topology)))
    assert containers(client, harness) == {name_of(topology)}


def is_served_at(harness: KraneHarness, client: docker.APIClient, name: str) -> bool:
    """Whether the ingress sends requests to the container that has the name now."""
    try:
        networks = client.inspect_container(name)["NetworkSettings"]["Networks"]
    except docker.errors.NotFound:
        return False
    address = networks[harness.engine_network]["IPAddress"]
    return any(
        one.address == address != "" for listed in harness.ingress.endpoints.values() for one in listed if one.healthy
    )


async def test_without_the_api_nothing_is_deleted_for_being_unknown(
    harness: KraneHarness, client: docker.APIClient
) -> None:
    # Promise: a stored snapshot may be behind; only the api's word makes an instance an orphan.
    await harness.start_krane()
    old = harness.topology()
    await harness.cluster.put(old)
    await harness.cluster.until_state(name_of(old), HEALTHY)
    await harness.stop_krane()
    stored = harness.folder / "krane" / "desired.snapshot"
    behind = stored.read_bytes()
    await harness.start_krane()
    new = harness.topology()
    await harness.cluster.put(new)
    await harness.cluster.until_state(name_of(new), HEALTHY)
    await harness.stop_krane()
    await harness.cluster.stop()
    stored.write_bytes(behind)
    await harness.start_krane()
    await eventually(lambda: harness.ingress.is_ready)
    await eventually(lambda: harness.ingress.healthy(old.deployment_id))
    assert containers(client, harness) == {name_of(old), name_of(new)}
    seen = len(harness.cluster.reports)
    await harness.cluster.start()
    await harness.cluster.until(lambda: len(harness.cluster.reports) > seen)
    assert containers(client, harness) == {name_of(old), name_of(new)}


async def test_reports_are_repeated_until_the_api_takes_them(harness: KraneHarness) -> None:
    # Promise: a verdict is never lost because the api was away for a moment.
    harness.cluster.refuse_reports = 3
    await harness.start_krane()
    topology = harness.topology()
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    assert harness.cluster.refuse_reports == 0


async def test_presence_is_kept(harness: KraneHarness) -> None:
    # Promise: the api knows the region, its engine, and that krane lives.
    await harness.start_krane()
    await harness.cluster.until(lambda: harness.cluster.heartbeats >= 1)
    last = harness.cluster.registrations[-1]
    assert (last.region, last.runtime, last.instance_id) == ("test", "docker", "inst_test")
    assert last.engine.startswith("Docker ")
