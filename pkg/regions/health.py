"""Is a deployment up? Pure: from its settings and what the regions report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pkg.regions.queries import InstanceRow
from pkg.regions.silence import Silence


class InstanceState(StrEnum):
    """What krane says of one instance."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    FAILED = "failed"
    STOPPED = "stopped"


class Health(StrEnum):
    """Of a whole deployment."""

    HEALTHY = "healthy"
    WAITING = "waiting"
    FAILED = "failed"
    UNKNOWN = "unknown"


SILENT = "instance.region_silent"


@dataclass(frozen=True)
class DeploymentHealth:
    """`reason` says, for people, why it failed, what is missing or unknown; `code` is the same for programs."""

    health: Health
    reason: str = ""
    log_tail: tuple[str, ...] = ()
    code: str = ""


def health_of(
    regions: Sequence[str],
    replicas: int,
    instances: Sequence[InstanceRow],
    silences: Mapping[str, Silence],
    process: str = "",
) -> DeploymentHealth:
    """Healthy when every region has `replicas` healthy instances of the process; failed when one will never be healthy.

    Without regions or instances it is never healthy. Unknown while a region's krane does not report or
    has seen nothing yet, whatever was reported last, and for one with too few instances while the engine is away.
    Reasons name a process; "" is web.
    """
    found = _health_of(regions, replicas, [one for one in instances if one.process == process], silences)
    return replace(found, reason=f"process {process}: {found.reason}") if process and found.reason else found


def worst(found: Sequence[DeploymentHealth]) -> DeploymentHealth:
    """Of the web instances and the processes of a deployment, together: all have to be healthy."""
    for health in (Health.FAILED, Health.UNKNOWN, Health.WAITING):
        if (first := next((one for one in found if one.health is health), None)) is not None:
            return first
    return DeploymentHealth(Health.HEALTHY)


def _health_of(
    regions: Sequence[str], replicas: int, instances: Sequence[InstanceRow], silences: Mapping[str, Silence]
) -> DeploymentHealth:
    for instance in instances:
        if instance.state == InstanceState.FAILED and instance.region in regions:
            return DeploymentHealth(Health.FAILED, instance.reason, tuple(instance.log_tail_json), instance.code)
    for region in regions:
        healthy = sum(1 for i in instances if i.region == region and i.state == InstanceState.HEALTHY)
        silence = silences.get(region)
        if silence is not None and (not silence.is_probed or healthy < replicas):
            reason = f"{silence.reason}, so it is not known how the instances are; {healthy} of {replicas} were healthy"
            return DeploymentHealth(Health.UNKNOWN, reason, code=SILENT)
        if healthy < replicas:
            probes = [i.last_probe for i in instances if i.region == region and i.last_probe]
            here = [i for i in instances if i.region == region and i.reason]
            waiting = [i.reason for i in here if i.waits_for] or [i.reason for i in here if not i.last_probe]
            seen = f"; {waiting[0]}" if waiting else f"; last probe: {probes[-1]}" if probes else ""
            tails = [tuple(i.log_tail_json) for i in instances if i.region == region and i.log_tail_json]
            reason = f"{healthy} of {replicas} instances are healthy in region {region}{seen}"
            return DeploymentHealth(Health.WAITING, reason, tails[-1] if tails else ())
    if not regions:
        return DeploymentHealth(Health.WAITING, "no region is connected: is krane running?")
    return DeploymentHealth(Health.HEALTHY)
