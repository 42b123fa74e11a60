"""Which names may enter Envoy's tables. Pure.

Envoy refuses a whole route table for one bad entry, so nothing doubtful may reach it.
"""

import ipaddress
import re

from pkg.desired.capabilities import ROUTE_FIELDS
from pkg.desired.route import Route

# What routes may take that this ingress serves; krane registers it.
SERVED = frozenset(ROUTE_FIELDS[name] for name in ("targets.weight", "targets.answer", "hostname.wildcard"))

WILDCARD = "*."

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DEPLOYMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_MAX_HOSTNAME = 253


def hostname_problem(hostname: str) -> str:
    """Why `hostname` cannot be served, as text for people; "" when it can.

    Served are lower-case DNS names without a trailing dot: labels of 1..63 of a-z, 0-9 and -, 253 octets at most.
    """
    if not hostname or len(hostname) > _MAX_HOSTNAME:
        return f"a hostname has 1..{_MAX_HOSTNAME} characters, this one {len(hostname)}"
    for label in hostname.split("."):
        if not _LABEL.fullmatch(label):
            shown = label[:63].encode("unicode_escape").decode()
            return f"the label {shown!r} is not 1..63 of a-z, 0-9 and inner dashes (lower case only)"
    return ""


def routed_hostname_problem(hostname: str) -> str:
    """As `hostname_problem`; "*." before a name of two labels or more is served, too, for all names below it."""
    base = hostname.removeprefix(WILDCARD)
    if base != hostname and "." not in base:
        return f"a wildcard stands before a name of two labels or more, not before {base[:63]!r}"
    return hostname_problem(base) or ("" if len(hostname) <= _MAX_HOSTNAME else hostname_problem(hostname))


def spellings(hostname: str) -> list[str]:
    """How a client may write it in `Host`, but for case and port: with the dot of the root, and with an empty port."""
    return [hostname, f"{hostname}.", f"{hostname}:", f"{hostname}.:"]


def deployment_problem(deployment_id: str) -> str:
    """Why `deployment_id` cannot name a cluster; "" when it can."""
    if _DEPLOYMENT_ID.fullmatch(deployment_id):
        return ""
    shown = deployment_id[:64].encode("unicode_escape").decode()
    return f"{shown!r} is not a deployment id (1..63 letters, digits, _ and -)"


def route_problem(route: Route) -> str:
    """Why requests cannot be led where `route` says; "" when they can."""
    if route.required_capabilities - SERVED:
        return f"this ingress cannot serve {route}: it takes {', '.join(sorted(route.required_capabilities - SERVED))}"
    return route.problem() or next(filter(None, map(deployment_problem, route.deployment_ids)), "")


def address_problem(address: str, port: int) -> str:
    """Why an endpoint cannot be dialled; "" when it can. Names are refused: Envoy would resolve them itself."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return f"{address[:64]!r} is not an IP address"
    return "" if 1 <= port <= 65535 else f"port {port} is not in 1..65535"
