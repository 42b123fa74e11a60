"""The kinds of item that the desired state has, with the events that carry them. `KINDS` is the registry."""

from dataclasses import dataclass

from pkg.desired import capabilities
from svc.krane.ingress.hostnames import SERVED


@dataclass(frozen=True)
class Kind:
    """A kind of item, and how the feed's events change it.

    Attributes:
        capability: what krane registers for it.
        put: the event of an item that appears or changes, a field of the oneof.
        removed: the event of an item that is gone.
        key: the field in both messages that identifies an item.
    """

    capability: str
    put: str
    removed: str
    key: str


TOPOLOGY = Kind(capabilities.TOPOLOGY.capability, "topology", "topology_removed", "deployment_id")
ROUTE = Kind(capabilities.ROUTE.capability, "route", "route_removed", "hostname")
CERTIFICATE = Kind(capabilities.CERTIFICATE.capability, "certificate", "certificate_removed", "certificate_id")
CHALLENGE = Kind(capabilities.CHALLENGE.capability, "challenge", "challenge_removed", "token")
JOB = Kind(capabilities.JOB.capability, "job", "job_removed", "job_id")

KINDS = (TOPOLOGY, ROUTE, CERTIFICATE, CHALLENGE, JOB)

# What this krane registers: the kinds, and what it understands beside them (pkg.desired.capabilities).
CAPABILITIES = (
    frozenset(kind.capability for kind in KINDS)
    | SERVED
    | {capabilities.APP_PROTOCOL, capabilities.APP_RESTART, capabilities.APP_PROCESSES}
)
