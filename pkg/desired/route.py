"""A route as a value: what a hostname leads to, and how. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pkg.desired.capabilities import ROUTE_FIELDS

FULL_WEIGHT = 100
STOPPED = "stopped"  # the answer of an app that its owner stopped
ANSWERS = frozenset({STOPPED})  # another one takes another capability


@dataclass(frozen=True)
class DeploymentTarget:
    """A deployment that gets `weight` of every 100 requests."""

    deployment_id: str
    weight: int = FULL_WEIGHT


@dataclass(frozen=True)
class AnswerTarget:
    """A fixed answer that `weight` of every 100 requests get, by its name, one of `ANSWERS`."""

    answer: str
    weight: int = FULL_WEIGHT


Target = DeploymentTarget | AnswerTarget


@dataclass(frozen=True)
class RoutePolicy:
    """What happens to a request on its way. A field comes with each policy, and names a capability."""


@dataclass(frozen=True)
class RouteTls:
    """How the hostname is served over TLS. A field comes with each way, and names a capability."""


@dataclass(frozen=True)
class Route:
    """One hostname. The ordinary route leads to one deployment with all its requests (`to`).

    Attributes:
        hostname: with "*." first it stands for all names below.
        targets: the weights are 1..100 and add up to 100.
    """

    hostname: str
    targets: tuple[Target, ...]
    policy: RoutePolicy = RoutePolicy()
    tls: RouteTls = RouteTls()

    @classmethod
    def to(cls, hostname: str, deployment_id: str) -> "Route":
        """The route that leads to one deployment."""
        return cls(hostname, (DeploymentTarget(deployment_id),))

    @classmethod
    def answering(cls, hostname: str, answer: str) -> "Route":
        """The route whose requests all get the answer of that name."""
        return cls(hostname, (AnswerTarget(answer),))

    @cached_property
    def deployment_ids(self) -> tuple[str, ...]:
        """The deployments that get requests."""
        return tuple(target.deployment_id for target in self.targets if isinstance(target, DeploymentTarget))

    @cached_property
    def only_deployment_id(self) -> str:
        """The deployment that gets all requests; "" when they are shared out, or answered otherwise."""
        if len(self.targets) == 1 and isinstance(self.targets[0], DeploymentTarget):
            return self.targets[0].deployment_id
        return ""

    @property
    def required_capabilities(self) -> frozenset[str]:
        """The capabilities that a krane needs in addition to the ordinary route; empty for that."""
        used = {
            "hostname.wildcard": self.hostname.startswith("*."),
            "targets.weight": len(self.targets) > 1,
            "targets.answer": any(isinstance(target, AnswerTarget) for target in self.targets),
            "policy": self.policy != RoutePolicy(),
            "tls": self.tls != RouteTls(),
        }
        return frozenset(ROUTE_FIELDS[name] for name, is_used in used.items() if is_used)

    def problem(self) -> str:
        """Why no data plane can share requests out so, for people; "" when it can."""
        answers = [target.answer for target in self.targets if isinstance(target, AnswerTarget)]
        if answers and (len(self.targets) > 1 or answers[0] not in ANSWERS):
            return f"{self} is not served: an answer gets all requests, and is one of {', '.join(sorted(ANSWERS))}"
        weights = [target.weight for target in self.targets]
        if all(1 <= weight <= FULL_WEIGHT for weight in weights) and sum(weights) == FULL_WEIGHT:
            return ""
        return f"the weights of its targets, {weights}, are not 1..{FULL_WEIGHT} each, {FULL_WEIGHT} together"

    def __str__(self) -> str:
        """The targets, for people."""
        if len(self.targets) == 1 and self.targets[0].weight == FULL_WEIGHT:
            return _name(self.targets[0])
        return ", ".join(f"{_name(target)} ({target.weight} %)" for target in self.targets)


def _name(target: Target) -> str:
    return target.deployment_id if isinstance(target, DeploymentTarget) else target.answer


RouteTable = Mapping[str, Route]  # by hostname


def deployments_of(table: RouteTable) -> frozenset[str]:
    """Every deployment that a route of the table leads to."""
    return frozenset(deployment_id for route in table.values() for deployment_id in route.deployment_ids)
