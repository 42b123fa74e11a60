"""Between which numbers the instances of a deployment are scaled, and by what. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pkg.errors import InvalidArgument

MAX_REPLICAS = 20  # in each region
MAX_CPU_PERCENT = 100  # of cpu_millicores, which no instance exceeds
DEFAULT_TARGET_CPU_PERCENT = 80  # Kubernetes' own default


@dataclass(frozen=True)
class ReplicaBounds:
    """The bounds within which a runtime with an autoscaler chooses the number of instances in each region.

    Attributes:
        min_replicas: 1 to max_replicas; a runtime without an autoscaler runs this number.
        max_replicas: at most `MAX_REPLICAS`.
        target_cpu_percent: 1 to `MAX_CPU_PERCENT`: the mean CPU use of the instances that the autoscaler aims at, in
            percent of each instance's cpu_millicores.
    """

    min_replicas: int
    max_replicas: int
    target_cpu_percent: int = DEFAULT_TARGET_CPU_PERCENT

    def to_json(self) -> dict[str, int]:
        """As plain JSON, for a column."""
        return asdict(self)

    def clamp(self, replicas: int) -> int:
        """The number within the bounds that is nearest to `replicas`."""
        return max(self.min_replicas, min(self.max_replicas, replicas))


FIELDS = ("min_replicas", "max_replicas", "target_cpu_percent")


def bounds_of(below: ReplicaBounds | None, fields: Mapping[str, Any]) -> ReplicaBounds:
    """The bounds with the `fields` that are set, the others from `below`, else their defaults.

    Raises:
        InvalidArgument: they contradict each other, or max_replicas is set nowhere; names the field.
    """
    known: dict[str, Any] = {**(below.to_json() if below else {}), **fields}
    if known.get("max_replicas") is None:
        given = ", ".join(f"{name} ({known[name]})" for name in FIELDS if known.get(name) is not None)
        raise InvalidArgument(
            "settings.max_replicas",
            f"is required with {given}: set max_replicas (at most {MAX_REPLICAS}), or replicas for a fixed number",
        )
    bounds = ReplicaBounds(**{"min_replicas": 1, **known})
    if not 1 <= bounds.min_replicas <= bounds.max_replicas:
        raise InvalidArgument(
            "settings.min_replicas",
            f"min_replicas ({bounds.min_replicas}) is greater than max_replicas ({bounds.max_replicas}): lower one or "
            "raise the other; what a deploy does not set is taken from the environment",
        )
    return bounds


def check_one_kind(field: str, replicas: int | None, fields: Mapping[str, Any]) -> None:
    """A fixed number and bounds exclude each other where they are set together.

    Raises:
        InvalidArgument: both are set; names them.
    """
    if replicas is not None and fields:
        names = " and ".join(f"{name} ({fields[name]})" for name in FIELDS if name in fields)
        raise InvalidArgument(
            f"{field}.replicas",
            f"replicas ({replicas}) is a fixed number, {names} are bounds: set one kind, not both",
        )
