"""Whether what is known of a region may be out of date, and why. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from pkg.regions.queries import Region

SILENT_AFTER_MS = 35_000  # three heartbeats of 10 s, and how long the last one may take


@dataclass(frozen=True)
class Silence:
    """A region of which nothing new is heard.

    Attributes:
        since: when its instances were seen last, epoch ms; 0: never.
        reason: text for people.
        is_probed: krane reports, and probes on what it had seen before its engine went away.
    """

    since: int
    reason: str
    is_probed: bool


def silence(region: Region, now: int) -> Silence | None:
    """Why reports of the region's instances may be out of date; None: they are current."""
    if now - region.last_seen_at >= SILENT_AFTER_MS:
        return Silence(region.last_seen_at, f"krane of region {region.name} does not report", is_probed=False)
    if region.engine_away:
        why = f"the engine of region {region.name} does not answer: {region.engine_away}"
        # krane registers without an engine until it has seen one: before that it probes nothing
        return Silence(region.engine_seen_at, why, is_probed=region.engine != "")
    return None


def silences(regions: Iterable[Region], now: int) -> dict[str, Silence]:
    """Those of several regions, by name."""
    found = {region.name: silence(region, now) for region in regions}
    return {name: one for name, one in found.items() if one is not None}
