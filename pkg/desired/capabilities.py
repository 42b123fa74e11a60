"""What a krane must be able to do for each kind of change and each field of a route. Pure.

Protobuf drops fields that a program does not know without a word, so a message that uses more than the baseline names
the capabilities that it takes, and each krane registers the ones that it has. A capability is "area.thing/version". A
krane that registers none is older than capabilities, and has the baseline.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ChangeKind:
    """A kind of change in the feed.

    Attributes:
        name: as changes store it, at most 16 characters.
        capability: what a krane needs to understand any change of the kind.
    """

    name: str
    capability: str


TOPOLOGY = ChangeKind("topology", "feed.topology/1")  # by deployment id
ROUTE = ChangeKind("route", "feed.route/1")  # by hostname
CERTIFICATE = ChangeKind("certificate", "feed.certificate/1")  # by certificate id
CHALLENGE = ChangeKind("challenge", "feed.challenge/1")  # by token
JOB = ChangeKind("job", "feed.job/1")  # by job id

BASELINE = frozenset({TOPOLOGY.capability, ROUTE.capability})

# What each field of a route (pkg.desired.route) takes when it says more than "all to one deployment".
ROUTE_FIELDS: Mapping[str, str] = {
    "hostname": ROUTE.capability,
    "hostname.wildcard": "route.wildcards/1",
    "targets": ROUTE.capability,
    "targets.weight": "route.weights/1",
    "targets.answer": "route.answers/1",
    "policy": "route.policy/1",
    "tls": "route.tls/1",
}


# What a topology takes whose app speaks another protocol than HTTP/1.1: h2c. Yet another one takes the next number.
APP_PROTOCOL = "app.protocol/1"
# A restart takes it. A topology never does: of one that was restarted an older krane keeps what runs.
APP_RESTART = "app.restart/1"
# A topology with further process types takes it.
APP_PROCESSES = "app.processes/1"


def registered(capabilities: Collection[str]) -> frozenset[str]:
    """What a krane can do that registered these."""
    return frozenset(capabilities) or BASELINE
