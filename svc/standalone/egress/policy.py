"""Whose packets are meant, and what they may reach. Pure."""

import ipaddress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

# No destination for an app: IANA's special-purpose registry (RFC 6890) without the ranges for documentation, which
# some networks use as if they were public, plus shared (RFC 6598), multicast and reserved space.
CLOSED = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip

# What an operator may open again. The others hold nothing that an app could need: metadata services of clouds, which
# hand out the machine's credentials, answer in 169.254.0.0/16.
ALLOWABLE = tuple(
    ipaddress.IPv4Network(text)
    for text in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15")
)


@dataclass(frozen=True)
class Listener:
    """A TCP port of this machine that containers may connect to.

    Attributes:
        port: 1 to 65535.
        address: the only one on which it is open; None: any address of the machine.
    """

    port: int
    address: IPv4Address | None = None


@dataclass(frozen=True)
class Policy:
    """What containers reach beside the outside.

    Attributes:
        resolvers: addresses of which port 53 is open, over UDP and TCP; also those in closed ranges or of this machine.
        listeners: the ingress, and what stands in front of it.
        allow: closed ranges that are open on all ports. Addresses of this machine in them stay closed.
    """

    resolvers: tuple[IPv4Address, ...] = ()
    listeners: tuple[Listener, ...] = ()
    allow: tuple[IPv4Network, ...] = ()


@dataclass(frozen=True)
class Scope:
    """Whose packets the rules are about.

    Attributes:
        tag: 1 to 20 of a-z 0-9 -; begins the names of our chains, and is the comment of each of our rules.
        bridges: names of the devices; they need not exist yet.
        pools: the containers' addresses: they also cover bridges whose names are not known.
        routes: whether the rules also let these containers through the machine to the outside (accept and masquerade).
            False where an engine with packet rules of its own does that.
    """

    tag: str
    bridges: tuple[str, ...]
    pools: tuple[IPv4Network, ...]
    routes: bool


def allow_problems(allow: tuple[str, ...]) -> list[str]:
    """What is wrong with ranges that an operator wants open, each with its value."""
    found = []
    for text in allow:
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            found.append(f"allow: {text!r} is no address range such as 10.1.2.0/24: {error}")
            continue
        if not isinstance(network, IPv4Network):
            found.append(f"allow: {text!r} is IPv6, which apps don't have")
        elif not any(network.subnet_of(outer) for outer in ALLOWABLE):
            found.append(
                f"allow: {text!r} is not within {', '.join(map(str, ALLOWABLE))}: what is public is open without it, "
                f"and the rest stays closed"
            )
    return found
