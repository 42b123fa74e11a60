"""How far the regions have come with a number of instances, or with a restart. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pkg.regions.health import InstanceState
from pkg.regions.queries import InstanceRow
from pkg.regions.silence import Silence

_ALIVE = frozenset({InstanceState.STARTING, InstanceState.HEALTHY, InstanceState.UNHEALTHY, InstanceState.FAILED})


class Outcome(StrEnum):
    """Whether to wait for the regions."""

    DONE = "done"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True)
class Wanted:
    """What each region is to run of the deployment.

    Attributes:
        replicas: How many instances, numbered from 0; with `is_scaled` at least so many.
        is_scaled: A runtime may run more, as its autoscaler says.
        generation: Of the restart that every instance was made for, or for a later one; 0: any.
        is_less: There were more before: how those that stay are does not matter.
    """

    replicas: int
    is_scaled: bool = False
    generation: int = 0
    is_less: bool = False


@dataclass(frozen=True)
class Progress:
    """`reason`: for people, what is missing, or why it failed; `code`: of the failure, else ""."""

    outcome: Outcome
    reason: str = ""
    code: str = ""


def progress_of(
    regions: Sequence[str], wanted: Wanted, instances: Sequence[InstanceRow], silences: Mapping[str, Silence]
) -> Progress:
    """Done once every region runs what is wanted and nothing else; failed when an instance that is new never will run.

    An instance of before that fails does not count as a failure: it is about to be made again, or to end.
    """
    for region in regions:
        found = _in_region(region, wanted, [one for one in instances if one.region == region], silences.get(region))
        if found.outcome is not Outcome.DONE:
            return found
    return Progress(Outcome.DONE) if regions else Progress(Outcome.WAITING, "no region runs it")


def _in_region(region: str, wanted: Wanted, found: Sequence[InstanceRow], silence: Silence | None) -> Progress:
    if silence is not None and not silence.is_probed:
        return Progress(Outcome.WAITING, silence.reason)
    alive = [one for one in found if one.state in _ALIVE]
    new = [one for one in alive if one.restart_generation >= wanted.generation]
    failed = [one for one in new if one.state == InstanceState.FAILED and _counts(one, wanted)]
    if failed and not wanted.is_less:
        return Progress(Outcome.FAILED, failed[0].reason, failed[0].code or "instance.failed")
    healthy = sum(1 for one in new if one.state == InstanceState.HEALTHY and one.replica < wanted.replicas)
    if healthy < wanted.replicas and not wanted.is_less:
        reasons = [one.reason for one in alive if one.reason and one.state != InstanceState.HEALTHY]
        done = "made again and healthy" if wanted.generation else "healthy"
        seen = f"; {reasons[0]}" if reasons else ""
        return Progress(
            Outcome.WAITING, f"{healthy} of {wanted.replicas} instances are {done} in region {region}{seen}"
        )
    if len(new) < len(alive):
        return Progress(Outcome.WAITING, f"{len(alive) - len(new)} instances of before run in region {region}")
    surplus = [one for one in alive if one.replica >= wanted.replicas]
    if surplus and not wanted.is_scaled:
        return Progress(Outcome.WAITING, f"{len(surplus)} instances are about to end in region {region}")
    return Progress(Outcome.DONE)


def _counts(one: InstanceRow, wanted: Wanted) -> bool:
    """Whether its failure is one of the operation: of a restart also that of the instance beyond the number."""
    return one.replica < wanted.replicas or wanted.generation > 0
