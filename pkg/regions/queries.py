"""Statements about regions, topologies and instances."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from pkg.db import rows, upsert
from pkg.desired.capabilities import TOPOLOGY, registered
from pkg.feed.queries import record
from pkg.regions import krane_replicas
from pkg.regions.tables import instances, regions, topologies

# A report from further ahead than this was made by a clock that was set back since: it outdates nothing.
CLOCK_SLACK_MS = 60_000


@dataclass(frozen=True)
class Region:
    """A row of `regions`."""

    name: str
    krane_instance_id: str
    krane_version: str
    runtime: str
    engine: str
    last_seen_at: int
    applied_version: int
    applied_at: int | None
    created_at: int
    engine_away: str = ""
    engine_seen_at: int = 0
    capabilities_json: list[str] = field(default_factory=list)
    unsupported_json: list[int] = field(default_factory=list)
    architecture: str = ""
    host_name: str = ""
    cpus: int = 0
    memory_mib: int = 0
    leader_term: int = 0

    @property
    def capabilities(self) -> frozenset[str]:
        """What its kranes understand, all of them."""
        return registered(self.capabilities_json)


@dataclass(frozen=True)
class Host:
    """The machine that a krane runs on. "" and 0: not known."""

    name: str = ""
    architecture: str = ""
    cpus: int = 0
    memory_mib: int = 0


@dataclass(frozen=True)
class TopologyRow:
    """A row of `topologies`."""

    deployment_id: str
    region: str
    image_ref: str
    stopped: bool
    created_at: int
    updated_at: int


@dataclass(frozen=True)
class InstanceRow:
    """A row of `instances`. `process`: "" for web."""

    region: str
    deployment_id: str
    replica: int
    instance_id: str
    state: str
    reason: str
    exit_code: int | None
    log_tail_json: list[str]
    last_probe: str
    image_id: str
    restarts: int
    port_notice: str
    observed_at: int
    code: str = ""
    last_exit_json: dict[str, Any] | None = None
    waits_for: str = ""
    scaling_notice: str = ""
    restart_generation: int = 0
    started_at: int = 0
    process: str = ""


def register(
    connection: Connection,
    *,
    name: str,
    krane_instance_id: str,
    krane_version: str,
    runtime: str,
    engine: str,
    now: int,
    capabilities: Sequence[str] = (),
    host: Host = Host(),
    replica_id: str = "",
    is_shared: bool = False,
) -> None:
    """Creates the region at its first call, and notes who speaks for it now. Idempotent.

    `replica_id` and `is_shared`: see `KraneReplica`.
    """
    speaker = {
        "krane_instance_id": krane_instance_id,
        "krane_version": krane_version,
        "runtime": runtime,
        "engine": engine,
        "last_seen_at": now,
        "capabilities_json": list(capabilities),
        "architecture": host.architecture,
        "host_name": host.name,
        "cpus": host.cpus,
        "memory_mib": host.memory_mib,
    }
    first = {"applied_version": 0, "created_at": now, "engine_seen_at": now}
    statement = upsert.insert(connection, regions).values(name=name, **first, **speaker)
    if is_shared and not engine:  # another replica may have found it
        del speaker["engine"]
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=speaker))
    krane_replicas.register(
        connection,
        region=name,
        replica_id=replica_id,
        krane_instance_id=krane_instance_id,
        is_shared=is_shared,
        capabilities=capabilities,
        now=now,
    )


def note_heartbeat(connection: Connection, name: str, krane_instance_id: str, engine_away: str, now: int) -> bool:
    """Notes a heartbeat of the region's leader. False: the region is unknown, krane is to register again.

    `engine_away`: why its engine does not answer, at most 256 characters; "" if it does.
    """
    reported = {"last_seen_at": now, "krane_instance_id": krane_instance_id, "engine_away": engine_away}
    if not engine_away:
        reported["engine_seen_at"] = now
    return connection.execute(update(regions).where(regions.c.name == name).values(reported)).rowcount == 1


def note_report(connection: Connection, name: str, now: int) -> None:
    """Notes that the region reports. Idempotent."""
    connection.execute(update(regions).where(regions.c.name == name).values(last_seen_at=now))


def every(connection: Connection) -> list[Region]:
    """All regions, by name."""
    return rows.every(Region, connection.execute(select(regions).order_by(regions.c.name)))


def only_name(connection: Connection) -> str | None:
    """The region's name; None if there is none, or more than one."""
    names = list(connection.execute(select(regions.c.name).limit(2)).scalars())
    return names[0] if len(names) == 1 else None


def get(connection: Connection, name: str) -> Region | None:
    """The region, or None."""
    return rows.one(Region, connection.execute(select(regions).where(regions.c.name == name)))


def behind(connection: Connection, names: Sequence[str], version: int) -> list[str]:
    """Which of the regions have not applied `version` yet: one of their counted replicas has not."""
    query = select(regions.c.name).where(regions.c.name.in_(list(names)), regions.c.applied_version < version)
    return [str(row.name) for row in connection.execute(query)]


def place(connection: Connection, *, deployment_id: str, region: str, image_ref: str, stopped: bool, now: int) -> int:
    """Says what the region is to run of the deployment; the change's version, 0 when it says so already."""
    found = topology(connection, deployment_id, region)
    if found is not None and found.image_ref == image_ref and found.stopped == stopped:
        return 0
    if found is None:
        connection.execute(
            insert(topologies).values(
                deployment_id=deployment_id,
                region=region,
                image_ref=image_ref,
                stopped=stopped,
                created_at=now,
                updated_at=now,
            )
        )
    else:
        connection.execute(
            update(topologies)
            .where(topologies.c.deployment_id == deployment_id, topologies.c.region == region)
            .values(image_ref=image_ref, stopped=stopped, updated_at=now)
        )
    if not stopped:
        # what an earlier run left behind says nothing about this one
        connection.execute(
            delete(instances).where(instances.c.deployment_id == deployment_id, instances.c.region == region)
        )
    return record(connection, TOPOLOGY, deployment_id, now, region=region)


def stop(connection: Connection, deployment_id: str, now: int) -> int:
    """Says that no region is to run the deployment; the last change's version, 0 when none does."""
    version = 0
    for found in topologies_of(connection, deployment_id):
        version = max(
            version,
            place(
                connection,
                deployment_id=deployment_id,
                region=found.region,
                image_ref=found.image_ref,
                stopped=True,
                now=now,
            ),
        )
    return version


def topology(connection: Connection, deployment_id: str, region: str) -> TopologyRow | None:
    """What the region is to run of the deployment; None: it was never placed there."""
    query = select(topologies).where(topologies.c.deployment_id == deployment_id, topologies.c.region == region)
    return rows.one(TopologyRow, connection.execute(query))


def is_placed(connection: Connection, deployment_id: str, region: str) -> bool:
    """Whether the region is to run instances of the deployment."""
    found = topology(connection, deployment_id, region)
    return found is not None and not found.stopped


def topologies_of(connection: Connection, deployment_id: str) -> list[TopologyRow]:
    """Where the deployment is to run."""
    query = select(topologies).where(topologies.c.deployment_id == deployment_id).order_by(topologies.c.region)
    return rows.every(TopologyRow, connection.execute(query))


def topologies_in(connection: Connection, region: str) -> list[TopologyRow]:
    """What the region is to run; stopped ones are left out."""
    query = (
        select(topologies)
        .where(topologies.c.region == region, topologies.c.stopped.is_(False))
        .order_by(topologies.c.deployment_id)
    )
    return rows.every(TopologyRow, connection.execute(query))


def report(connection: Connection, seen_now: InstanceRow, now: int) -> bool:
    """Stores what krane sees of one instance. False: a later report is known already.

    One that claims to be from the future (by our clock, `now`) is no later one: krane's clock was wrong when it came.
    """
    values: dict[str, Any] = {
        "instance_id": seen_now.instance_id,
        "state": seen_now.state,
        "reason": seen_now.reason[:1024],
        "exit_code": seen_now.exit_code,
        "log_tail_json": seen_now.log_tail_json,
        "last_probe": seen_now.last_probe[:512],
        "image_id": seen_now.image_id,
        "restarts": seen_now.restarts,
        "port_notice": seen_now.port_notice[:1024],
        "waits_for": seen_now.waits_for,
        "scaling_notice": seen_now.scaling_notice[:1024],
        "restart_generation": seen_now.restart_generation,
        "started_at": seen_now.started_at,
        "observed_at": seen_now.observed_at,
    }
    values["code"] = seen_now.code
    if seen_now.last_exit_json is not None:  # a krane that was restarted does not know of it any more
        values["last_exit_json"] = seen_now.last_exit_json
    statement = upsert.insert(connection, instances).values(
        region=seen_now.region,
        deployment_id=seen_now.deployment_id,
        process=seen_now.process,
        replica=seen_now.replica,
        **values,
    )
    written = connection.execute(
        statement.on_conflict_do_update(
            index_elements=["region", "deployment_id", "process", "replica"],
            set_=values,
            where=or_(instances.c.observed_at <= seen_now.observed_at, instances.c.observed_at > now + CLOCK_SLACK_MS),
        ).returning(instances.c.replica)
    )
    return written.first() is not None


def keep_only(connection: Connection, region: str, listed: Sequence[tuple[str, str, int]], now: int) -> list[str]:
    """Forgets instances of the region that a complete report, taken at `now`, does not list; their deployment ids.

    `listed`: deployment, process and replica of each.
    """
    known = connection.execute(
        select(instances.c.deployment_id, instances.c.process, instances.c.replica).where(
            instances.c.region == region,
            or_(instances.c.observed_at <= now, instances.c.observed_at > now + CLOCK_SLACK_MS),
        )
    )
    gone = [(str(row.deployment_id), str(row.process), int(row.replica)) for row in known]
    gone = [key for key in gone if key not in set(listed)]
    for deployment_id, process, replica in gone:
        connection.execute(
            delete(instances).where(
                instances.c.region == region,
                instances.c.deployment_id == deployment_id,
                instances.c.process == process,
                instances.c.replica == replica,
            )
        )
    return sorted({deployment_id for deployment_id, _, _ in gone})


def instances_of(connection: Connection, deployment_id: str) -> list[InstanceRow]:
    """What the regions report of the deployment."""
    return instances_by_deployment(connection, [deployment_id]).get(deployment_id, [])


def instances_by_deployment(connection: Connection, deployment_ids: Collection[str]) -> dict[str, list[InstanceRow]]:
    """What the regions report of each deployment, by region, process and replica; no entry for one without any."""
    query = (
        select(instances)
        .where(instances.c.deployment_id.in_(deployment_ids))
        .order_by(instances.c.region, instances.c.process, instances.c.replica)
    )
    found: dict[str, list[InstanceRow]] = {}
    for instance in rows.every(InstanceRow, connection.execute(query)):
        found.setdefault(instance.deployment_id, []).append(instance)
    return found


def any_alive(connection: Connection, deployment_id: str) -> bool:
    """Whether a region still reports an instance that has not ended."""
    query = select(instances.c.replica).where(
        instances.c.deployment_id == deployment_id,
        or_(instances.c.state == "starting", instances.c.state == "healthy", instances.c.state == "unhealthy"),
    )
    return connection.execute(query.limit(1)).first() is not None
