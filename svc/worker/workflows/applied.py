"""Waiting until the ingress of every required region serves the routes as they were moved."""

from collections.abc import Sequence

from sqlalchemy import Connection

from pkg.regions import capabilities
from pkg.regions import queries as regions
from pkg.regions.deployment_health import required_regions
from pkg.regions.silence import silences
from pkg.routes import queries as routes
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.waiting import Look


class Applied(Look, frozen=True, kw_only=True):
    """`settled`: every required region has applied the moves, and refused none."""


async def look_applied(deps: WorkerDeps, deployment_id: str, version: int, hostnames: list[str]) -> Applied:
    """One look at what the regions reported."""
    now = deps.clock()

    def read(connection: Connection) -> bool:
        return _obstacle(connection, deployment_id, version, hostnames, now) == ""

    return Applied(settled=await deps.db.read(read), now=now)


def why_not(
    connection: Connection, deployment_id: str, version: int, hostnames: Sequence[str], waited_s: int, now: int
) -> str:
    """For the user: what kept the routes from being applied."""
    obstacle = _obstacle(connection, deployment_id, version, hostnames, now) or "it was applied too late"
    return (
        f"The ingress did not take the new routes within {waited_s} s: {obstacle}. What was live before stays live; "
        "deploy again once the ingress is well."
    )


def _obstacle(connection: Connection, deployment_id: str, version: int, hostnames: Sequence[str], now: int) -> str:
    if version == 0:
        return ""
    required = required_regions(connection, deployment_id)
    for nack in regions.nacks(connection, hostnames):
        if nack.region in required:
            return f"region {nack.region} refused {nack.hostname}: {nack.message}"
    versions = {version, *routes.versions(connection, hostnames)}
    here = [region for region in regions.every(connection) if region.name in required]
    if reason := capabilities.unsupported(here, capabilities.DEPLOY, versions):
        return reason
    behind = regions.behind(connection, required, version)
    if behind:
        silent = silences(regions.every(connection), now).get(behind[0])
        if silent is not None and not silent.is_probed:
            return silent.reason
        return f"region {behind[0]} has not reported it as applied (is krane running there, and its Envoy?)"
    return ""
