"""Promise: a deploy waits for the ingress of every counted krane replica, and for a dead one until its vote expires."""

from sqlalchemy import Connection

from pkg.clock import now_ms
from pkg.deployments.status import Status
from pkg.feed import queries as feed
from pkg.regions import krane_replicas
from pkg.regions import queries as regions
from pkg.regions.votes import SHARED_HEARTBEAT_INTERVAL_S, VOTE_EXPIRES_MS
from pkg.workflows import queries as workflows
from svc.worker.testing.harness import WorkerHarness

BEAT_MS = SHARED_HEARTBEAT_INTERVAL_S * 1000


async def test_a_dead_replica_holds_a_deploy_until_its_vote_expires(harness: WorkerHarness) -> None:
    """Not a heartbeat earlier; the deploy then succeeds, and the next one does not wait at all."""
    region = harness.region
    await region.register(is_shared=True)

    def join(connection: Connection) -> int:
        regions.register(
            connection, name=region.name, krane_instance_id="k2", krane_version="1", runtime="docker", engine="d",
            now=now_ms(), replica_id="dead", is_shared=True,
        )  # fmt: skip
        head = feed.head(connection).version
        contact = krane_replicas.applied(connection, region.name, head, [], now_ms(), replica_id="dead")
        assert contact is not None
        assert contact.is_counted
        replica = krane_replicas.get(connection, region.name, "dead")
        assert replica is not None
        return replica.last_contact_at

    began = await harness.deps.db.write(join)

    def beat_until_expired(connection: Connection) -> int:
        """Heartbeats of the other replica, as if time passed; when the vote of the dead one has expired."""
        for now in range(began, began + 2 * VOTE_EXPIRES_MS, BEAT_MS):
            found = krane_replicas.heartbeat(connection, region.name, region.replica_id, now, is_announced=True)
            assert found is not None
            if found.expired:
                assert workflows.awaiting_applied(connection, now), "the deploy is notified"
                return now - began
        raise AssertionError("it never expires")

    waiting = await harness.deploy(image="a")
    await harness.reaches(waiting, Status.NETWORK)
    live = await harness.hostnames(waiting)
    await harness.until(lambda: _has_applied(harness), "the living replica serves it")
    assert (await harness.deployment(waiting)).status is Status.NETWORK
    assert VOTE_EXPIRES_MS <= await harness.deps.db.write(beat_until_expired) <= VOTE_EXPIRES_MS + 2 * BEAT_MS
    await harness.ended(waiting, Status.READY)
    assert set(live) <= set(await harness.hostnames(waiting))
    await harness.ended(await harness.deploy(image="b"), Status.READY)


async def test_what_one_replica_refuses_is_not_live(harness: WorkerHarness) -> None:
    """A route that one Envoy can't serve yet is waited for, though its version counts as applied."""
    region = harness.region
    await region.register(is_shared=True)
    first = await harness.deploy(image="a")
    await harness.ended(first, Status.READY)
    hostnames = [h for h in await harness.hostnames(first) if "-dep-" not in h]

    def other(connection: Connection, nacks: list[str]) -> None:
        if krane_replicas.get(connection, region.name, "r2") is None:
            regions.register(
                connection, name=region.name, krane_instance_id="k2", krane_version="1", runtime="docker",
                engine="d", now=now_ms(), replica_id="r2", is_shared=True,
            )  # fmt: skip
        version = feed.head(connection).version
        refused = [(version, hostname, "no healthy instance here") for hostname in nacks]
        krane_replicas.applied(connection, region.name, version, refused, now_ms(), replica_id="r2")

    await harness.deps.db.write(other, [])
    second = await harness.deploy(image="b")
    await harness.reaches(second, Status.NETWORK)
    await harness.until(lambda: _has_applied(harness), "the first replica serves it")
    await harness.deps.db.write(other, hostnames)
    assert (await harness.deployment(second)).status is Status.NETWORK
    await harness.deps.db.write(other, [])
    await harness.ended(second, Status.READY)


async def _has_applied(harness: WorkerHarness) -> bool:
    def read(connection: Connection) -> bool:
        replica = krane_replicas.get(connection, harness.region.name, harness.region.replica_id)
        assert replica is not None
        return replica.applied_version >= feed.head(connection).version

    return await harness.deps.db.read(read)
