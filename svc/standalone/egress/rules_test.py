"""Which rules a policy makes: read as a list, judged by the first that matches, for any address there is."""

import ipaddress
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from svc.standalone.egress import rules
from svc.standalone.egress.policy import ALLOWABLE, CLOSED, Listener, Policy, Scope, allow_problems

POOL = IPv4Network("10.160.0.0/16")
SCOPE = Scope("sealift0a1b2c", ("sealift0a1b2c", "slt0123456789ab"), (POOL,), routes=True)

addresses = st.ip_addresses(v=4)
ports = st.integers(1, 65535)


@st.composite
def allowable(draw: st.DrawFn) -> IPv4Network:
    outer = draw(st.sampled_from(ALLOWABLE))
    inside = draw(st.integers(int(outer.network_address), int(outer.broadcast_address)))
    return IPv4Network((inside, draw(st.integers(outer.prefixlen, 32))), strict=False)


policies = st.builds(
    Policy,
    resolvers=st.lists(addresses, max_size=3).map(tuple),
    listeners=st.lists(st.builds(Listener, ports, st.none() | addresses), max_size=3).map(tuple),
    allow=st.lists(allowable(), max_size=3).map(tuple),
)


def first_match(chain: tuple[str, ...], target: IPv4Address, port: int, protocol: str = "tcp") -> str:
    """What becomes of the first packet of a connection: RETURN (passes) or DROP."""
    for rule in chain:
        words = rule.split()
        given = dict(zip(words[::2], words[1::2], strict=True))
        if "--ctstate" in given or "-o" in given:  # no first packet; a device is not known here
            continue
        if "-d" in given and target not in ipaddress.ip_network(given["-d"]):
            continue
        if given.get("-p", protocol) != protocol or given.get("--dport", str(port)) != str(port):
            continue
        return given["-j"]
    return "RETURN"


def chains(policy: Policy) -> tuple[tuple[str, ...], tuple[str, ...]]:
    table = rules.ipv4(SCOPE, policy)[0]
    assert table.name == "mangle"
    return table.chains[f"{SCOPE.tag}-in"], table.chains[f"{SCOPE.tag}-fwd"]


@given(policies, addresses, ports)
def test_of_the_machine_only_what_is_named_is_open(policy: Policy, target: IPv4Address, port: int) -> None:
    """Whatever range is allowed: an address of the machine is open on port 53 of a resolver and at a listener only."""
    to_machine, _ = chains(policy)
    named = (port == 53 and target in policy.resolvers) or any(
        one.port == port and one.address in {None, target} for one in policy.listeners
    )
    assert (first_match(to_machine, target, port) == "RETURN") is named


@given(policies, addresses, ports)
def test_beyond_the_machine_closed_ranges_open_by_name_only(policy: Policy, target: IPv4Address, port: int) -> None:
    """What is public passes, what is private only if the operator named it, other containers never."""
    _, forwarded = chains(policy)
    passes = first_match(forwarded, target, port) == "RETURN"
    if target in POOL:
        assert not passes
    elif not any(target in network for network in CLOSED):
        assert passes
    else:
        is_resolver = port == 53 and target in policy.resolvers
        assert passes is (is_resolver or any(target in network for network in policy.allow))


@given(policies)
def test_metadata_of_clouds_is_never_open(policy: Policy) -> None:
    """The machine's own credentials are behind 169.254.169.254: no policy opens its web port."""
    _, forwarded = chains(policy)
    assert first_match(forwarded, IPv4Address("169.254.169.254"), 80) == "DROP"


@given(policies)
def test_drops_are_final_and_lie_before_what_opens(policy: Policy) -> None:
    """No rule of ours accepts in `mangle`, and `filter` opens only after it: there is no moment of openness."""
    tables = rules.ipv4(SCOPE, policy)
    assert [table.name for table in tables] == ["mangle", "filter", "nat"]
    assert not any("ACCEPT" in rule for chain in tables[0].chains.values() for rule in chain)
    text = rules.restore(tables, {})
    assert text.index("*mangle") < text.index("*filter")


def test_rules_name_only_our_bridges_and_pool() -> None:
    """Packets of other engines on the machine never enter our chains."""
    for table in rules.ipv4(SCOPE, Policy()):
        for _, rule in table.jumps:
            assert str(POOL) in rule or any(name in rule for name in SCOPE.bridges), rule
            assert f"--comment {SCOPE.tag}" in rule


def test_the_machines_own_engine_routes_by_itself() -> None:
    """There, nothing of ours accepts or masquerades: its owner's rules do."""
    scope = Scope("sealift-01234567", ("slt0123456789ab",), (), routes=False)
    assert [table.name for table in rules.ipv4(scope, Policy())] == ["mangle"]
    assert rules.frames(scope).by_address == ()


def test_chain_names_fit() -> None:
    """iptables takes 28 characters, ebtables 31."""
    longest = Scope("x" * 20, (), (POOL,), routes=True)
    assert all(len(chain) <= 28 for table in rules.ipv4(longest, Policy()) for chain in table.chains)


def test_macs_are_dockers() -> None:
    """A container's MAC is 02:42 and its address; the mask covers the pool."""
    assert rules.docker_mac(POOL) == "02:42:0a:a0:00:00/ff:ff:ff:ff:00:00"
    assert rules.docker_mac(IPv4Network("10.160.128.0/22")) == "02:42:0a:a0:80:00/ff:ff:ff:ff:fc:00"


def test_what_may_be_allowed() -> None:
    """A range opens only what is private; a mistyped one is reported with its value, and nothing special is opened."""
    assert allow_problems(("10.1.2.0/24", "192.168.7.9/32", "100.64.0.0/10")) == []
    for text in ("0.0.0.0/0", "169.254.169.254/32", "127.0.0.1/32", "8.8.8.8/32", "10.1.2.3/24", "fd00::/8", "db", ""):
        (problem,) = allow_problems((text,))
        assert repr(text) in problem
