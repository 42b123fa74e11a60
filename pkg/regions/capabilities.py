"""Whether the regions that an intent concerns understand what it needs."""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection

from pkg.desired.capabilities import ROUTE, TOPOLOGY
from pkg.errors import FailedPrecondition
from pkg.regions import queries
from pkg.regions.queries import Region

# What placing a deployment and pointing hostnames at it takes.
DEPLOY = frozenset({TOPOLOGY.capability, ROUTE.capability})


def lacking(regions: Iterable[Region], needed: Collection[str]) -> list[tuple[str, str]]:
    """(region, capability) of all that is needed and not there, in order. Pure."""
    return [(region.name, one) for region in regions for one in sorted(set(needed) - region.capabilities)]


def check(connection: Connection, needed: Collection[str], names: Collection[str] | None = None) -> None:
    """Refuses an intent that a region could not carry out; `names` None: it concerns every region.

    Raises:
        FailedPrecondition: `region.capability_missing`, naming the first region and capability.
    """
    required = [region for region in queries.every(connection) if names is None or region.name in names]
    for region, capability in lacking(required, needed):
        raise FailedPrecondition(
            "region.capability_missing",
            f"The krane of region {region!r} does not support {capability!r}, which this needs: upgrade krane there "
            "to the version of the api, then try again.",
        )


def unsupported(regions: Iterable[Region], needed: Collection[str], versions: Collection[int]) -> str:
    """Why one of the regions will not apply a change of one of these versions, for people; "" if each can. Pure."""
    regions = list(regions)
    for name, capability in lacking(regions, needed):
        return f"the krane of region {name} does not support {capability!r}: upgrade krane there"
    for region in regions:
        if found := sorted(set(region.unsupported_json) & set(versions)):
            return f"the krane of region {region.name} does not support change {found[0]}: upgrade krane there"
    return ""
