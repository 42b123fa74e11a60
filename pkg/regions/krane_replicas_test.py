"""Promise: a region has applied what every counted replica has; no dead one holds it back once its vote expired."""

from sqlalchemy import Connection

from pkg.db import Database
from pkg.ids import new_id
from pkg.regions import krane_replicas, queries
from pkg.regions.krane_replicas import FORGOTTEN_AFTER_MS, Contact
from pkg.regions.votes import SHARED_HEARTBEAT_INTERVAL_S, VOTE_EXPIRES_MS
from pkg.testing.sample_project import add_sample_project

NOW = 1_700_000_000_000
BEAT_MS = SHARED_HEARTBEAT_INTERVAL_S * 1000


def join(c: Connection, replica_id: str, now: int = NOW, *, is_shared: bool = True, **values: object) -> None:
    common = {"krane_instance_id": f"inst_{replica_id}", "krane_version": "1", "engine": "e", "runtime": "kubernetes"}
    queries.register(c, name="eu", now=now, replica_id=replica_id, is_shared=is_shared, **{**common, **values})  # type: ignore[arg-type]


def apply(c: Connection, replica_id: str, version: int, now: int = NOW, **values: object) -> Contact:
    nacks = values.pop("nacks", [])
    found = krane_replicas.applied(c, "eu", version, nacks, now, replica_id=replica_id, **values)  # type: ignore[arg-type]
    assert found is not None
    return found


def beat(c: Connection, replica_id: str, begin: int, end: int, *, is_announced: bool = True) -> list[Contact]:
    """Heartbeats from `begin` to `end`."""
    found = [
        krane_replicas.heartbeat(c, "eu", replica_id, now, is_announced=is_announced)
        for now in range(begin, end + 1, BEAT_MS)
    ]
    return [contact for contact in found if contact is not None]


async def test_every_counted_replica_has_to_apply(db: Database) -> None:
    """A new one counts once it has caught up, and never makes the region go back."""

    def run(c: Connection) -> None:
        for replica_id in ("a", "b"):
            join(c, replica_id)
            assert apply(c, replica_id, 5).is_counted
        assert not apply(c, "a", 7).has_advanced
        assert queries.behind(c, ["eu"], 7) == ["eu"]
        assert apply(c, "b", 7) == Contact(is_counted=True, region_version=7, has_advanced=True)
        assert queries.behind(c, ["eu"], 7) == []
        join(c, "c")
        assert not apply(c, "c", 6, nacks=[(6, "a.example", "no")]).is_counted
        assert krane_replicas.nacks(c, ["a.example"]) == [], "what it refuses does not count either"
        assert queries.behind(c, ["eu"], 7) == []
        assert apply(c, "c", 8, nacks=[(8, "a.example", "no")]).is_counted
        assert [nack.replica_id for nack in krane_replicas.nacks(c, ["a.example"])] == ["c"]
        assert krane_replicas.applied(c, "eu", 9, [], NOW, replica_id="d") is None
        assert krane_replicas.heartbeat(c, "eu", "d", NOW) is None

    await db.write(run)


async def test_a_vote_expires_while_another_replica_has_visible_contact(db: Database) -> None:
    """Not before, and what the dead one refused goes with it; when it is back it has to catch up."""

    def run(c: Connection) -> None:
        for replica_id in ("a", "b"):
            join(c, replica_id)
            apply(c, replica_id, 5)
        apply(c, "b", 5, nacks=[(5, "a.example", "no")])
        apply(c, "a", 6)
        assert not any(contact.expired for contact in beat(c, "a", NOW, NOW + VOTE_EXPIRES_MS - 1))
        assert queries.behind(c, ["eu"], 6) == ["eu"]
        (last,) = beat(c, "a", NOW + VOTE_EXPIRES_MS, NOW + VOTE_EXPIRES_MS)
        assert last == Contact(is_counted=True, region_version=6, has_advanced=True, expired=("b",))
        assert krane_replicas.nacks(c, ["a.example"]) == []
        late = NOW + VOTE_EXPIRES_MS + 1
        (back,) = beat(c, "b", late, late)
        assert (back.is_counted, back.expired) == (False, ())
        assert not apply(c, "b", 5, late).is_counted
        assert apply(c, "b", 6, late).is_counted
        join(c, "c", late)
        (after,) = beat(c, "a", late + FORGOTTEN_AFTER_MS, late + FORGOTTEN_AFTER_MS)
        assert after.expired == (), "its own contact had a break"
        known = [one.replica_id for one in krane_replicas.of_region(c, "eu")]
        assert known == ["a", "b"], "one that never counted and has gone is forgotten"

    await db.write(run)


async def test_nobody_waits_for_a_replica_that_has_left(db: Database) -> None:
    """Nor for what it refused; the last one that leaves takes nothing of the region's version along."""

    def run(c: Connection) -> None:
        for replica_id in ("a", "b"):
            join(c, replica_id)
            apply(c, replica_id, 5)
        apply(c, "b", 5, nacks=[(5, "a.example", "no")])
        apply(c, "a", 6)
        assert krane_replicas.leave(c, "eu", "b", NOW) == Contact(is_counted=False, region_version=6, has_advanced=True)
        assert krane_replicas.nacks(c, ["a.example"]) == []
        assert krane_replicas.heartbeat(c, "eu", "b", NOW) is None
        assert krane_replicas.leave(c, "eu", "b", NOW) is None
        assert krane_replicas.leave(c, "eu", "a", NOW) == Contact(
            is_counted=False, region_version=6, has_advanced=False
        )
        assert krane_replicas.released(c, "eu", [new_id("dep")], 6) == [], "nobody has said so"
        join(c, "c")
        assert not apply(c, "c", 5).is_counted
        assert apply(c, "c", 6).is_counted

    await db.write(run)


async def test_no_vote_expires_while_nobody_can_see_a_contact(db: Database) -> None:
    """After the api was away for all, and while the replicas can't see each other, everyone goes on serving."""

    def run(c: Connection) -> None:
        for replica_id in ("a", "b"):
            join(c, replica_id)
            apply(c, replica_id, 5)
        hour = NOW + 3_600_000
        assert not any(one.expired for one in beat(c, "a", hour, hour + VOTE_EXPIRES_MS - 1))
        assert not any(one.expired for one in beat(c, "a", hour, hour + 3_600_000, is_announced=False))
        apply(c, "a", 9, hour)
        assert queries.behind(c, ["eu"], 9) == ["eu"]

    await db.write(run)


async def test_a_krane_that_is_not_shared_is_alone(db: Database) -> None:
    """It replaces whoever was there, and continues where that one was: an upgrade forgets no refusal."""

    def run(c: Connection) -> None:
        join(c, "", is_shared=False, runtime="docker")
        apply(c, "", 7, nacks=[(7, "a.example", "no")])
        join(c, "r1", is_shared=False, runtime="docker")
        (one,) = krane_replicas.of_region(c, "eu")
        assert (one.replica_id, one.is_counted, one.applied_version) == ("r1", True, 7)
        assert [nack.replica_id for nack in krane_replicas.nacks(c, ["a.example"])] == ["r1"]
        join(c, "r1", NOW + 1, is_shared=False, runtime="docker")
        assert [r.applied_version for r in krane_replicas.of_region(c, "eu")] == [7]
        join(c, "a")
        assert [r.replica_id for r in krane_replicas.of_region(c, "eu")] == ["a"]
        join(c, "b")
        join(c, "r2", is_shared=False, runtime="docker")
        assert [r.replica_id for r in krane_replicas.of_region(c, "eu")] == ["r2"]
        assert krane_replicas.nacks(c, ["a.example"]) == []

    await db.write(run)


async def test_a_deployment_is_released_once_the_slowest_envoy_has_left_it(db: Database) -> None:
    """Routes that are held back count as applied, so each replica names what it still serves."""

    def run(c: Connection) -> None:
        dep = new_id("dep")
        assert krane_replicas.released(c, "eu", [dep], 0) == [], "nobody has said so"
        for replica_id in ("a", "b"):
            join(c, replica_id)
            apply(c, replica_id, 5)
        apply(c, "a", 6)
        assert krane_replicas.released(c, "eu", [dep], 6) == []
        apply(c, "b", 6, still_served=[dep])
        assert krane_replicas.released(c, "eu", [dep], 6) == []
        apply(c, "b", 6)
        assert krane_replicas.released(c, "eu", [dep], 6) == [dep]

    await db.write(run)


async def test_an_intent_needs_what_every_replica_supports(db: Database) -> None:
    """While kranes are upgraded one by one; what one of them skipped is not applied."""

    def run(c: Connection) -> None:
        join(c, "a", capabilities=["feed.route/1", "feed.topology/1", "route.weights/1"])
        join(c, "b", capabilities=["feed.route/1", "feed.topology/1"])
        apply(c, "a", 5)
        apply(c, "b", 5, unsupported=[4])
        found = queries.get(c, "eu")
        assert found is not None
        assert found.capabilities == {"feed.route/1", "feed.topology/1"}
        assert found.unsupported_json == [4]
        krane_replicas.note_capabilities(c, "eu", "b", ["feed.route/1", "feed.topology/1", "route.weights/1"], NOW)
        found = queries.get(c, "eu")
        assert found is not None
        assert "route.weights/1" in found.capabilities

    await db.write(run)


async def test_reports_of_a_leader_that_was_replaced_do_not_count(db: Database) -> None:
    """A term never goes back, but for a krane that shares its region with no other."""

    def run(c: Connection) -> None:
        add_sample_project(c)
        join(c, "a")
        assert krane_replicas.note_leader(c, "eu", 3, NOW)
        assert krane_replicas.note_leader(c, "eu", 3, NOW)
        assert not krane_replicas.note_leader(c, "eu", 2, NOW)
        join(c, "r", is_shared=False, runtime="docker")
        assert krane_replicas.note_leader(c, "eu", 0, NOW)

    await db.write(run)
