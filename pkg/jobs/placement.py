"""In which region a job runs: in one, the first by name that is in contact and may have the image."""

from collections.abc import Collection

from sqlalchemy import Connection

from pkg.desired.capabilities import JOB
from pkg.errors import FailedPrecondition
from pkg.regions import capabilities
from pkg.regions import queries as regions
from pkg.regions.queries import Region
from pkg.regions.silence import silences


def choose(connection: Connection, names: Collection[str] | None, now: int) -> Region | None:
    """The region, of these or (None) of all; None: there is none.

    Raises:
        FailedPrecondition: `region.capability_missing`, its krane runs no jobs.
    """
    known = [one for one in regions.every(connection) if names is None or one.name in names]
    if not known:
        return None
    silent = silences(known, now)
    chosen = next((one for one in known if one.name not in silent), known[0])
    capabilities.check(connection, {JOB.capability}, [chosen.name])
    return chosen


def where(connection: Connection, deployment_id: str, now: int) -> Region:
    """Where a command with a deployment that runs is run.

    Raises:
        FailedPrecondition: `environment.nothing_live`, no region runs it; see `choose`.
    """
    placed = [one.region for one in regions.topologies_of(connection, deployment_id) if not one.stopped]
    chosen = choose(connection, placed, now)
    if chosen is None:
        raise FailedPrecondition(
            "environment.nothing_live", f"No region runs {deployment_id} any more: deploy, or promote another one."
        )
    return chosen
