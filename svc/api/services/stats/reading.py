"""Reads access figures of a project from telemetry, and says what of the time asked for is unknown."""

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pkg.access import HOUR_S, KEPT_MS, MINUTE_S, AccessFigures
from pkg.errors import InvalidArgument
from pkg.telemetry import AccessRecord, Telemetry
from pkg.telemetry.port import MAX_READ_ACCESS

DEFAULT_MS = 3600 * 1000
MAX_MINUTES_MS = 3 * 3600 * 1000  # of which figures by the minute are added up
STEPS_AT_ONCE = 10
# Newer requests may not have been reported yet (krane reports minutes every 10 s, and hours every 5 minutes).
LATE_MS = {MINUTE_S: 60_000, HOUR_S: 10 * 60_000}
# The client's clock may differ, and its request takes a while.
SLACK_MS = 600_000
MAX_RECORDS = 500_000


@dataclass(frozen=True)
class Window:
    """The steps that are read. Epoch milliseconds; `since` is the begin of a step."""

    since: int
    until: int
    step_s: int

    @property
    def step_ms(self) -> int:
        """Length of a step."""
        return self.step_s * 1000


def window(since: int, until: int, now: int) -> Window:
    """The window of a request, in which 0 stands for the default.

    Raises:
        InvalidArgument: it is empty, in the future, or begins before what is kept.
    """
    until = min(until or now, now)
    since = since or until - DEFAULT_MS
    if until < 0 or since >= until:
        raise InvalidArgument("since", f"{since} is not before until, {until}, or lies in the future")
    oldest = now - KEPT_MS[HOUR_S]
    if since < oldest - SLACK_MS:
        raise InvalidArgument("since", f"{since} is more than 30 days ago; older figures are deleted")
    since = max(since, oldest)
    is_fine = until - since <= MAX_MINUTES_MS and since >= now - KEPT_MS[MINUTE_S]
    step_s = MINUTE_S if is_fine else HOUR_S
    return Window(since - since % (step_s * 1000), until, step_s)


@dataclass
class Coverage:
    """When a region's ingress counted.

    Attributes:
        until: by begin of a step, up to when its requests were counted.
        incomplete: begins of the steps in which some requests were lost.
    """

    until: dict[int, int] = field(default_factory=dict)
    incomplete: set[int] = field(default_factory=set)


@dataclass
class Read:
    """What telemetry has of a window.

    Attributes:
        by_deployment: figures by deployment and begin of the step; also of those that are not asked for.
        regions: coverage by region.
    """

    window: Window
    by_deployment: defaultdict[str, dict[int, AccessFigures]] = field(default_factory=lambda: defaultdict(dict))
    regions: defaultdict[str, Coverage] = field(default_factory=lambda: defaultdict(Coverage))

    def total(self, deployment_id: str) -> AccessFigures:
        """Of the whole window."""
        return sum(self.by_deployment.get(deployment_id, {}).values(), start=AccessFigures())

    def known(self, regions: Collection[str]) -> dict[int, int]:
        """By begin of a step, up to when the requests of all these regions were counted; no entry: unknown."""
        steps = [self.regions[region].until for region in regions]
        every = set.intersection(*(set(one) for one in steps)) if steps else set()
        return {at: min(*(one[at] for one in steps), self.window.until) for at in every}

    def add(self, records: Sequence[AccessRecord]) -> None:
        """Adds records of a project, or of regions."""
        for one in records:
            if one.deployment_id:
                steps = self.by_deployment[one.deployment_id]
                steps[one.at] = steps[one.at] + one.figures if one.at in steps else one.figures
                continue
            coverage = self.regions[one.region]
            coverage.until[one.at] = max(coverage.until.get(one.at, 0), one.counted_until)
            if one.is_incomplete:
                coverage.incomplete.add(one.at)


async def read(telemetry: Telemetry, project_id: str, wanted: Window, deployment_id: str = "") -> Read:
    """The figures of the project's deployments, or of one of them; bounded in memory however many there are.

    Raises:
        InvalidArgument: the window holds more than can be added up.
        Unavailable: `telemetry.unavailable`.
    """
    found, count = Read(wanted), 0
    for since in range(wanted.since, wanted.until, wanted.step_ms * STEPS_AT_ONCE):
        until = min(since + wanted.step_ms * STEPS_AT_ONCE, wanted.until)
        for owner, only in ((project_id, deployment_id), ("", "")):
            records = await telemetry.access.read(owner, wanted.step_s, since, until, deployment_id=only)
            count += len(records)
            if len(records) == MAX_READ_ACCESS or count > MAX_RECORDS:
                raise InvalidArgument("since", "more figures than can be added up at once: ask for less time")
            found.add(records)
    return found


def known_ms(known: Mapping[int, int], since: int, until: int) -> int:
    """How much of a time was counted, in milliseconds."""
    return sum(max(0, min(end, until) - max(at, since)) for at, end in known.items())


def notices(found: Read, regions: Collection[str], *, begin: int) -> list[str]:
    """Why the figures are not complete, for people; `begin`: there was nothing to count before, epoch milliseconds."""
    texts = []
    wanted = found.window
    since = max(wanted.since, begin - begin % wanted.step_ms)
    for region in sorted(regions):
        coverage = found.regions[region]
        expected = range(since, wanted.until - LATE_MS[wanted.step_s], wanted.step_ms)
        missing = [at for at in expected if at not in coverage.until]
        if not coverage.until and missing:
            texts.append(f"unknown: the ingress of region {region} reported no figures of this time")
        elif missing:
            minutes = len(missing) * wanted.step_s // 60
            span = f"{_shown(missing[0])} and {_shown(missing[-1] + wanted.step_ms)} UTC"
            texts.append(f"unknown for {minutes} min between {span}: region {region} reported no figures")
        lossy = [at for at in coverage.incomplete if at >= since]
        if lossy:
            at = _shown(max(lossy))
            texts.append(f"some requests are missing: the ingress of region {region} was restarted about {at} UTC")
    return texts


def _shown(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at / 1000))
