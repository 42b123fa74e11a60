"""Which standbys to evict when a region has run out of addresses or disk, and whether any can be evicted."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, or_, select

from pkg.deployments.status import RunState
from pkg.deployments.tables import deployments
from pkg.regions.tables import instances

SETTLES_WITHIN_MS = 15_000  # after the end of a deployment, until krane has used what it freed
CAPACITY = "capacity"
# The same for the nodes of a cluster: its scheduler pauses up to 10 s between two tries, more when it is busy.
CAPACITY_SETTLES_WITHIN_MS = 45_000
_ALIVE = or_(instances.c.state == "starting", instances.c.state == "healthy", instances.c.state == "unhealthy")


@dataclass(frozen=True)
class Standby:
    """A deployment on standby in a region: `instances` of it run there."""

    deployment_id: str
    environment_id: str
    run_state_at: int
    instances: int


@dataclass(frozen=True)
class Shortage:
    """Of one region.

    Attributes:
        waiting: instances for which there is nothing left.
        leaving: instances of deployments that are stopping.
        has_just_freed: a deployment is stopping or has stopped a moment ago, and krane may not have used what it
            freed.
        standbys: what can be evicted.
    """

    region: str
    waiting: int
    leaving: int
    has_just_freed: bool
    standbys: tuple[Standby, ...]

    @property
    def is_exhausted(self) -> bool:
        """Whether instances wait and no eviction can help: nothing to evict, and no eviction under way."""
        return self.waiting > 0 and not (self.leaving or self.has_just_freed or self.standbys)


def standbys_to_evict(shortage: Shortage) -> list[Standby]:
    """The standbys to evict: the oldest first, no more than it takes. Pure."""
    missing = shortage.waiting - shortage.leaving
    chosen = []
    for standby in sorted(shortage.standbys, key=lambda one: (one.run_state_at, one.deployment_id)):
        if missing <= 0:
            break
        chosen.append(standby)
        missing -= standby.instances
    return chosen


def shortages(connection: Connection, now: int) -> list[Shortage]:
    """The regions in which an instance waits for what ran out. A waiting instance of a standby evicts nothing."""
    waits = (
        select(instances.c.region, instances.c.waits_for)
        .join(deployments, deployments.c.id == instances.c.deployment_id)
        .where(
            instances.c.waits_for != "",
            instances.c.state == "starting",
            deployments.c.run_state.not_in([RunState.STANDBY, RunState.STOPPING]),
        )
    )
    resources: dict[str, list[str]] = {}
    for row in connection.execute(waits):
        resources.setdefault(row.region, []).append(row.waits_for)
    return [_of(connection, region, resources[region], now) for region in sorted(resources)]


def _of(connection: Connection, region: str, resources: Sequence[str], now: int) -> Shortage:
    """`resources`: what each waiting instance waits for."""
    settles_within_ms = CAPACITY_SETTLES_WITHIN_MS if CAPACITY in resources else SETTLES_WITHIN_MS
    there = (
        select(deployments.c.id, deployments.c.environment_id, deployments.c.run_state, deployments.c.run_state_at)
        .join(instances, instances.c.deployment_id == deployments.c.id)
        .where(
            instances.c.region == region,
            _ALIVE,
            instances.c.waits_for == "",
            deployments.c.run_state.in_([RunState.STANDBY, RunState.STOPPING]),
        )
    )
    rows = connection.execute(there).all()
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.id] = counts.get(row.id, 0) + 1
    standbys = {
        Standby(row.id, row.environment_id, row.run_state_at, counts[row.id])
        for row in rows
        if row.run_state == RunState.STANDBY
    }
    # krane reports that the last instance has gone before the deployment is recorded as stopped
    freed = select(deployments.c.id).where(
        or_(
            deployments.c.run_state == RunState.STOPPING,
            (deployments.c.run_state == RunState.STOPPED) & (deployments.c.run_state_at >= now - settles_within_ms),
        )
    )
    return Shortage(
        region=region,
        waiting=len(resources),
        leaving=sum(1 for row in rows if row.run_state == RunState.STOPPING),
        has_just_freed=connection.execute(freed.limit(1)).first() is not None,
        standbys=tuple(standbys),
    )


def is_exhausted(connection: Connection, regions: Sequence[str], now: int) -> bool:
    """Whether one of the regions is exhausted."""
    return any(one.is_exhausted for one in shortages(connection, now) if one.region in regions)
