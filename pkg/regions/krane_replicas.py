"""Statements about the krane replicas of a region, what each has applied, and what follows for the region.

`regions.applied_version` is what every counted replica has applied. It never goes back, since a replica is counted only
from when it has caught up with it. Whoever waits for a region reads that column alone.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update

from pkg.db import rows, upsert
from pkg.desired.capabilities import registered
from pkg.regions import votes
from pkg.regions.tables import instances, krane_replicas, regions, replica_nacks
from pkg.regions.votes import KraneReplica

FORGOTTEN_AFTER_MS = 3_600_000  # a replica that is not counted and has no contact: its Pod is gone


@dataclass(frozen=True)
class NackRow:
    """A row of `replica_nacks`."""

    region: str
    replica_id: str
    hostname: str
    version: int
    message: str
    reported_at: int


@dataclass(frozen=True)
class Contact:
    """What a contact came to.

    Attributes:
        expired: replicas whose votes ended with it.
        region_version: what the region has applied now.
        has_advanced: that is more than before.
    """

    is_counted: bool
    region_version: int
    has_advanced: bool
    expired: tuple[str, ...] = ()


def of_region(connection: Connection, region: str) -> list[KraneReplica]:
    """Every known replica, by id."""
    query = select(krane_replicas).where(krane_replicas.c.region == region).order_by(krane_replicas.c.replica_id)
    return rows.every(KraneReplica, connection.execute(query))


def get(connection: Connection, region: str, replica_id: str) -> KraneReplica | None:
    """The replica, or None."""
    return rows.one(KraneReplica, connection.execute(select(krane_replicas).where(_is(region, replica_id))))


def register(
    connection: Connection,
    *,
    region: str,
    replica_id: str,
    krane_instance_id: str,
    is_shared: bool,
    capabilities: Sequence[str],
    now: int,
) -> None:
    """Notes a replica, or that a new process speaks for it. Idempotent.

    One that is not shared replaces all others, and continues with what one of them had applied and refused.
    """
    known = of_region(connection, region)
    replaced = [one for one in known if one.replica_id != replica_id and not (is_shared and one.is_shared)]
    if not is_shared and all(one.replica_id != replica_id for one in known):
        for one in [one for one in replaced if one.is_counted][:1]:
            _rename(connection, region, one.replica_id, replica_id)
    _forget(connection, region, [one.replica_id for one in replaced])
    speaker: dict[str, Any] = {
        "krane_instance_id": krane_instance_id,
        "is_shared": is_shared,
        "last_contact_at": now,
        "capabilities_json": list(capabilities),
    }
    first = {"is_counted": False, "applied_version": 0, "created_at": now, "still_served_json": []}
    statement = upsert.insert(connection, krane_replicas).values(
        region=region, replica_id=replica_id, unsupported_json=[], **first, **speaker
    )
    connection.execute(statement.on_conflict_do_update(index_elements=["region", "replica_id"], set_=speaker))
    if not is_shared:
        connection.execute(update(regions).where(regions.c.name == region).values(leader_term=0))
    _settle(connection, region, now)


def note_capabilities(
    connection: Connection, region: str, replica_id: str, capabilities: Sequence[str], now: int
) -> None:
    """Notes what the replica supports, other than by registering. Idempotent."""
    connection.execute(
        update(krane_replicas).where(_is(region, replica_id)).values(capabilities_json=list(capabilities))
    )
    _settle(connection, region, now)


def heartbeat(
    connection: Connection, region: str, replica_id: str, now: int, *, is_announced: bool = False
) -> Contact | None:
    """Notes a contact, and ends the votes that expire with it. None: the replica is unknown, it is to register."""
    known = of_region(connection, region)
    found = next((one for one in known if one.replica_id == replica_id), None)
    if found is None:
        return None
    since = found.announced(now, is_announced=is_announced)
    connection.execute(
        update(krane_replicas).where(_is(region, replica_id)).values(last_contact_at=now, announced_since=since)
    )
    others = [one for one in known if one is not found]
    expired = [one for one in others if one.is_counted and since is not None and one.has_expired(since, now)]
    for one in expired:
        connection.execute(update(krane_replicas).where(_is(region, one.replica_id)).values(is_counted=False))
        connection.execute(delete(replica_nacks).where(_nacks_of(region, one.replica_id)))
    _forget(
        connection,
        region,
        [o.replica_id for o in others if not o.is_counted and now - o.last_contact_at >= FORGOTTEN_AFTER_MS],
    )
    return _contact(connection, region, replica_id, now, [one.replica_id for one in expired])


def leave(connection: Connection, region: str, replica_id: str, now: int) -> Contact | None:
    """Forgets a replica whose Envoy has ended, and what it refused. None: it is unknown."""
    if get(connection, region, replica_id) is None:
        return None
    before = _region_version(connection, region)
    _forget(connection, region, [replica_id])
    after = _settle(connection, region, now)
    return Contact(is_counted=False, region_version=after, has_advanced=after > before)


def applied(
    connection: Connection,
    region: str,
    version: int,
    nacks: Sequence[tuple[int, str, str]],
    now: int,
    *,
    replica_id: str = "",
    unsupported: Sequence[int] = (),
    still_served: Sequence[str] = (),
) -> Contact | None:
    """What the replica's ingress has acknowledged; never goes back. `nacks`: (version, hostname, message).

    They, the versions that are `unsupported` there, and the deployments that are `still_served` replace the ones known
    before. None: the replica is unknown, it is to register.
    """
    found = get(connection, region, replica_id)
    if found is None:
        return None
    is_counted = found.is_counted or votes.has_caught_up(
        version, _region_version(connection, region), is_shared=found.is_shared
    )
    connection.execute(
        update(krane_replicas)
        .where(_is(region, replica_id))
        .values(
            applied_version=max(version, found.applied_version),
            is_counted=is_counted,
            last_contact_at=now,
            unsupported_json=list(unsupported),
            still_served_json=list(still_served),
        )
    )
    connection.execute(delete(replica_nacks).where(_nacks_of(region, replica_id)))
    for nack_version, hostname, message in nacks if is_counted else ():
        connection.execute(
            insert(replica_nacks).values(
                region=region,
                replica_id=replica_id,
                hostname=hostname,
                version=nack_version,
                message=message[:1024],
                reported_at=now,
            )
        )
    return _contact(connection, region, replica_id, now)


def nacks(connection: Connection, hostnames: Sequence[str]) -> list[NackRow]:
    """What the counted replicas of all regions refused of these hostnames."""
    query = select(replica_nacks).where(replica_nacks.c.hostname.in_(list(hostnames)))
    return rows.every(NackRow, connection.execute(query))


def released(connection: Connection, region: str, deployment_ids: Collection[str], version: int) -> list[str]:
    """The deployments to which no counted replica's ingress sends requests. No route led there at `version`."""
    counted = [one for one in of_region(connection, region) if one.is_counted]
    return [d for d in deployment_ids if counted and all(votes.has_released(one, d, version) for one in counted)]


def note_leader(connection: Connection, region: str, term: int, observed_at: int) -> bool:
    """Notes a report of the region's leader of `term`. False: there is a newer leader.

    Reports of earlier leaders outdate none of a newer one's from `observed_at` on, whatever their clocks said.
    """
    known = int(connection.execute(select(regions.c.leader_term).where(regions.c.name == region)).scalar_one())
    if term <= known:
        return term == known
    connection.execute(update(regions).where(regions.c.name == region).values(leader_term=term))
    connection.execute(
        update(instances)
        .where(instances.c.region == region, instances.c.observed_at >= observed_at)
        .values(observed_at=observed_at - 1)
    )
    return True


def _contact(connection: Connection, region: str, replica_id: str, now: int, expired: Sequence[str] = ()) -> Contact:
    before = _region_version(connection, region)
    after = _settle(connection, region, now)
    found = get(connection, region, replica_id)
    assert found is not None
    return Contact(found.is_counted, after, after > before, tuple(expired))


def _settle(connection: Connection, region: str, now: int) -> int:
    """Writes what follows from the replicas to the region's row; the version that the region has applied."""
    known = of_region(connection, region)
    live = [one for one in known if one.is_counted or now - one.last_contact_at < votes.VOTE_EXPIRES_MS]
    capabilities = [one.capabilities_json for one in live]
    if len(capabilities) > 1:
        capabilities = [sorted(frozenset.intersection(*(registered(listed) for listed in capabilities)))]
    values: dict[str, Any] = {
        "unsupported_json": sorted({v for one in known if one.is_counted for v in one.unsupported_json})
    }
    if capabilities:
        values["capabilities_json"] = capabilities[0]
    connection.execute(update(regions).where(regions.c.name == region).values(values))
    agreed = votes.agreed_version(known)
    if agreed is not None:
        connection.execute(
            update(regions)
            .where(regions.c.name == region, regions.c.applied_version < agreed)
            .values(applied_version=agreed, applied_at=now)
        )
    return _region_version(connection, region)


def _region_version(connection: Connection, region: str) -> int:
    return int(connection.execute(select(regions.c.applied_version).where(regions.c.name == region)).scalar_one())


def _rename(connection: Connection, region: str, replica_id: str, new_id: str) -> None:
    connection.execute(update(replica_nacks).where(_nacks_of(region, replica_id)).values(replica_id=new_id))
    connection.execute(update(krane_replicas).where(_is(region, replica_id)).values(replica_id=new_id))


def _forget(connection: Connection, region: str, replica_ids: Collection[str]) -> None:
    for replica_id in replica_ids:
        connection.execute(delete(replica_nacks).where(_nacks_of(region, replica_id)))
        connection.execute(delete(krane_replicas).where(_is(region, replica_id)))


def _is(region: str, replica_id: str) -> Any:
    return and_(krane_replicas.c.region == region, krane_replicas.c.replica_id == replica_id)


def _nacks_of(region: str, replica_id: str) -> Any:
    return and_(replica_nacks.c.region == region, replica_nacks.c.replica_id == replica_id)
