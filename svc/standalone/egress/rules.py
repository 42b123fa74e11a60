"""From a scope and a policy to packet rules. Pure: what is here touches nothing.

A rule is one line without its chain and target order changed: as iptables-restore and ebtables take it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from svc.standalone.egress.policy import CLOSED, Policy, Scope

# Answers to connections that the other side opened; packets of a connection that the container opened are checked one
# by one, so that a policy that is narrowed also ends what is open.
_ANSWERS = "-m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j RETURN"


@dataclass(frozen=True)
class Table:
    """What is ours in one table.

    Attributes:
        name: "mangle", "filter" or "nat".
        chains: our own, each with its rules in order.
        jumps: rules at the top of the built-in chains, as (chain, rule), in order.
    """

    name: str
    chains: dict[str, tuple[str, ...]]
    jumps: tuple[tuple[str, str], ...]


def ipv4(scope: Scope, policy: Policy) -> tuple[Table, ...]:
    """Every table of ours, those that close before those that open."""
    to_machine, forwarded = f"{scope.tag}-in", f"{scope.tag}-fwd"
    mark = f"-m comment --comment {scope.tag}"
    sources = [f"-i {name}" for name in scope.bridges] + [f"-s {pool}" for pool in scope.pools]
    targets = [f"-o {name}" for name in scope.bridges] + [f"-d {pool}" for pool in scope.pools]
    to_machine_from = [f"-i {name}" for name in scope.bridges] + [f"! -i lo -s {pool}" for pool in scope.pools]
    mangle = Table(
        "mangle",
        {to_machine: _to_machine(policy), forwarded: _forwarded(policy, targets)},
        (
            # The machine asks its own gateway addresses from these very addresses, through its loopback.
            *(("INPUT", f"{match} {mark} -j {to_machine}") for match in to_machine_from),
            *(("FORWARD", f"{match} {mark} -j {forwarded}") for match in (*sources, *targets)),
        ),
    )
    if not scope.routes:
        return (mangle,)
    answers = "-m conntrack --ctstate RELATED,ESTABLISHED"
    forward = [("FORWARD", f"-s {pool} {mark} -j ACCEPT") for pool in scope.pools]
    forward += [("FORWARD", f"-d {pool} {answers} {mark} -j ACCEPT") for pool in scope.pools]
    return (
        mangle,
        Table("filter", {}, tuple(forward)),
        Table(
            "nat",
            {},
            tuple(("POSTROUTING", f"-s {pool} ! -d {pool} {mark} -j MASQUERADE") for pool in scope.pools),
        ),
    )


def ipv6(scope: Scope) -> tuple[Table, ...]:
    """Nothing passes: containers have no IPv6. By device only, as they have no range either."""
    mark = f"-m comment --comment {scope.tag}"
    return (
        Table(
            "mangle",
            {},
            (
                *(("INPUT", f"-i {name} {mark} -j DROP") for name in scope.bridges),
                *(("FORWARD", f"-i {name} {mark} -j DROP") for name in scope.bridges),
                *(("FORWARD", f"-o {name} {mark} -j DROP") for name in scope.bridges),
            ),
        ),
    )


@dataclass(frozen=True)
class Frames:
    """Rules for frames between two ports of one bridge, and what they are worth.

    Attributes:
        by_bridge: one for each bridge; some kernels refuse them (no NFT_BRIDGE_META).
        by_mac: Docker before 28 makes a container's MAC of its address.
        by_address: IPv4 and ARP, whatever the MAC.
    """

    by_bridge: tuple[str, ...]
    by_mac: tuple[str, ...]
    by_address: tuple[str, ...]


def frames(scope: Scope) -> Frames:
    """What to drop in the bridge family's FORWARD, where only frames between ports pass."""
    by_mac, by_address = [], []
    for pool in scope.pools:
        mac = docker_mac(pool)
        by_mac += [f"-s {mac} -j DROP", f"-d {mac} -j DROP"]
        by_address += [
            f"-p IPv4 --ip-src {pool} -j DROP",
            f"-p IPv4 --ip-dst {pool} -j DROP",
            f"-p ARP --arp-ip-src {pool} -j DROP",
            f"-p ARP --arp-ip-dst {pool} -j DROP",
        ]
    return Frames(tuple(f"--logical-in {name} -j DROP" for name in scope.bridges), tuple(by_mac), tuple(by_address))


def docker_mac(pool: IPv4Network) -> str:
    """MAC and mask of every container in a pool: 02:42 and the four bytes of the address."""
    value = b"\x02\x42" + pool.network_address.packed
    mask = b"\xff\xff" + pool.netmask.packed
    return f"{value.hex(':')}/{mask.hex(':')}"


def restore(tables: Sequence[Table], present: dict[str, list[str]]) -> str:
    """The input of `iptables-restore --noflush` that brings the tables about: one transaction for each.

    Args:
        tables: as they shall be.
        present: by table, the rules of ours in built-in chains as iptables-save shows them ("-A INPUT ..."): replaced.
    """
    lines = []
    for table in tables:
        lines.append(f"*{table.name}")
        lines += [f":{chain} - [0:0]" for chain in table.chains]  # made, or emptied
        lines += ["-D" + line.removeprefix("-A") for line in present.get(table.name, [])]
        lines += [f"-A {chain} {rule}" for chain, rules in table.chains.items() for rule in rules]
        lines += [f"-I {chain} {rule}" for chain, rule in reversed(table.jumps)]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def removal(present: dict[str, list[str]], chains: dict[str, list[str]]) -> str:
    """The input of `iptables-restore --noflush` that takes away rules in built-in chains, and then chains, by table."""
    lines = []
    for table in sorted({*present, *chains}):
        lines.append(f"*{table}")
        lines += ["-D" + line.removeprefix("-A") for line in present.get(table, [])]
        lines += [f"-F {chain}" for chain in chains.get(table, [])]
        lines += [f"-X {chain}" for chain in chains.get(table, [])]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n" if lines else ""


def _to_machine(policy: Policy) -> tuple[str, ...]:
    """Packets for any address of the machine."""
    return (
        _ANSWERS,
        *_resolver_rules(policy),
        *(
            f"{f'-d {listener.address} ' if listener.address else ''}-p tcp --dport {listener.port} -j RETURN"
            for listener in policy.listeners
        ),
        "-j DROP",
    )


def _forwarded(policy: Policy, targets: Sequence[str]) -> tuple[str, ...]:
    """Packets that the machine would pass on: from a container, or to one."""
    return (
        _ANSWERS,
        # Nobody opens a connection to a container but the machine itself, whose packets are not forwarded.
        *(f"{target} -j DROP" for target in targets),
        *_resolver_rules(policy),
        *(f"-d {network} -j RETURN" for network in policy.allow),
        *(f"-d {network} -j DROP" for network in CLOSED),
    )


def _resolver_rules(policy: Policy) -> tuple[str, ...]:
    return tuple(
        f"-d {address} -p {protocol} --dport 53 -j RETURN"
        for address in policy.resolvers
        for protocol in ("udp", "tcp")
    )
