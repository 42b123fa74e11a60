"""Reads what instances used from telemetry, and says what of the time asked for is unknown."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pkg.errors import InvalidArgument
from pkg.telemetry import Telemetry, UsageFigures, UsageRecord
from pkg.telemetry.port import MAX_READ_USAGE
from pkg.telemetry.usage import DAY_S, HOUR_S, MINUTE_S, USAGE_KEPT_MS
from svc.api.services.stats.reading import MAX_MINUTES_MS, SLACK_MS, Window

DEFAULT_MS = 24 * 3600 * 1000
NOW_MS = 60_000  # an older measurement says nothing of now
# What is not measured between two measurements of a krane that works is far less.
UNMEASURED_MS = 120_000
# Where the record before a window is looked for first: as far as krane has to be away for it to be older.
LOOK_BACK_STEPS = 10
TOO_MANY = "more instances than can be added up at once: ask for one deployment"


def window(since: int, until: int, now: int) -> Window:
    """The window of a request, in which 0 stands for the default.

    Raises:
        InvalidArgument: it is empty, in the future, or begins before what is kept.
    """
    until = min(until or now, now)
    since = since or until - DEFAULT_MS
    if until < 0 or since >= until:
        raise InvalidArgument("since", f"{since} is not before until, {until}, or lies in the future")
    oldest = now - USAGE_KEPT_MS[DAY_S]
    if since < oldest - SLACK_MS:
        raise InvalidArgument("since", f"{since} is more than 400 days ago; older usage is deleted")
    since = max(since, oldest)
    step_s = DAY_S
    if until - since <= MAX_MINUTES_MS and since >= now - USAGE_KEPT_MS[MINUTE_S] + MINUTE_S * 1000:
        step_s = MINUTE_S
    elif since >= now - USAGE_KEPT_MS[HOUR_S] + HOUR_S * 1000:
        step_s = HOUR_S
    return Window(since - since % (step_s * 1000), until, step_s)


@dataclass
class InstanceRead:
    """What instances of one name used in a window, and the newest record of them.

    Attributes:
        unmeasured_ms: the time in which they were not measured.
        unknown: how many of them have an end in the window, and no known begin.
    """

    newest: UsageRecord
    figures: UsageFigures = field(default_factory=UsageFigures)
    unmeasured_ms: int = 0
    unknown: int = 0


@dataclass
class UsageRead:
    """What telemetry has of a window.

    Attributes:
        instances: by deployment and name.
    """

    window: Window
    instances: dict[tuple[str, str], InstanceRead] = field(default_factory=dict)

    def by_deployment(self) -> dict[str, UsageFigures]:
        """The figures of each deployment."""
        found: dict[str, UsageFigures] = {}
        for (deployment_id, _), one in self.instances.items():
            found[deployment_id] = found.get(deployment_id, UsageFigures()) + one.figures
        return found

    def add(self, last: UsageRecord, before: UsageRecord | None) -> None:
        """Adds a series: its last record in the window, and the last one before that."""
        key = (last.deployment_id, last.instance_id)
        one = self.instances.setdefault(key, InstanceRead(last))
        if one.newest.measured_at < last.measured_at:
            one.newest = last
        if before is None and last.began_at < self.window.since:
            one.unknown += 1
            return
        used = last.figures.since(before.figures if before is not None else UsageFigures())
        one.figures += used
        passed_ms = last.measured_at - (before.measured_at if before is not None else last.began_at)
        if passed_ms - used.measured_ms > UNMEASURED_MS:
            one.unmeasured_ms += passed_ms - used.measured_ms


async def read(telemetry: Telemetry, project_id: str, wanted: Window, deployment_id: str = "") -> UsageRead:
    """What the project's instances used, or those of one deployment.

    Raises:
        InvalidArgument: there were more instances than can be added up.
        Unavailable: `telemetry.unavailable`.
    """
    found, store = UsageRead(wanted), telemetry.usage
    ends = await store.latest(project_id, wanted.step_s, wanted.until, since=wanted.since, deployment_id=deployment_id)
    if len(ends) == MAX_READ_USAGE:
        raise InvalidArgument("since", TOO_MANY)
    older = {_series(one) for one in ends if one.began_at < wanted.since}
    before: dict[tuple[str, str, int], UsageRecord] = {}
    for since in (wanted.since - LOOK_BACK_STEPS * wanted.step_ms, 0):
        if older <= before.keys():
            break
        begins = await store.latest(project_id, wanted.step_s, wanted.since, since=since, deployment_id=deployment_id)
        if len(begins) == MAX_READ_USAGE:
            raise InvalidArgument("since", TOO_MANY)
        before = {_series(one): one for one in begins}
    for last in ends:
        found.add(last, before.get(_series(last)))
    return found


def notices(found: Sequence[InstanceRead], *, is_live: bool) -> list[str]:
    """Why figures of these are not complete, for people; `is_live`: something must have run."""
    if is_live and not found:
        return ["unknown: no region reported what instances used in this time"]
    texts = []
    for region in sorted({one.newest.region for one in found}):
        here = [one for one in found if one.newest.region == region]
        if minutes := sum(one.unmeasured_ms for one in here) // 60_000:
            texts.append(
                f"memory of {minutes} min is not counted: instances in region {region} were down, or not measured"
            )
        if unknown := sum(one.unknown for one in here):
            texts.append(f"unknown: what {unknown} instances in region {region} used; they were not measured for long")
        for what, number in (("network", 0), ("disk", 2)):
            lacking = sum(one.figures.bytes_moved[number] is None for one in here)
            if lacking:
                texts.append(f"unknown: {what} traffic of {lacking} of {len(here)} instances in region {region}")
    return texts


def _series(record: UsageRecord) -> tuple[str, str, int]:
    return record.deployment_id, record.source_id, record.began_at
