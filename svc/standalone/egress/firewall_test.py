"""The rules on a real kernel: what a container reaches and what not, from inside, with another engine beside it."""

import os
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from svc.standalone.egress import firewall
from svc.standalone.egress.policy import Listener, Policy, Scope
from svc.standalone.egress.testing import Namespaces

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="packet rules need root")

POOL = IPv4Network("10.160.0.0/16")
SCOPE = Scope(tag="sealift0a1b2c", bridges=("brdef",), pools=(POOL,), routes=True)
POLICY = Policy(resolvers=(IPv4Address("10.255.255.53"), IPv4Address("192.0.2.1")), listeners=(Listener(7480),))
OTHER = Scope(tag="sealiftffffff", bridges=("brother",), pools=(IPv4Network("10.161.0.0/16"),), routes=True)

OUTSIDE, METADATA, LAN, RESOLVER, DATABASE = (
    "203.0.113.5", "169.254.169.254", "192.168.77.7", "10.255.255.53", "10.9.9.9",
)  # fmt: skip
PORT = 8000


@pytest.fixture(scope="module")
def lab() -> Iterator[Namespaces]:
    """A machine with two bridges of our engine, one of another, and what lies beyond it.

    m: the machine; a, b: containers on our default bridge; c: on a user-defined one whose name is not known; d: another
    engine's; o: everything outside.
    """
    made = Namespaces()
    try:
        made.add("m", "o")
        made.link("o", "lan0", "192.0.2.9/24", "m", "eth0")
        made.run("m", "ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
        made.run("m", "ip", "route", "add", "default", "via", "192.0.2.9")
        for address in (OUTSIDE, METADATA, LAN, RESOLVER, DATABASE):
            made.run("o", "ip", "address", "add", f"{address}/32", "dev", "lan0")
            made.listen("o", address, PORT)
            made.listen("o", address, 53)
        made.bridge("m", "brdef", "10.160.0.1/24")
        made.bridge("m", "bruser", "10.160.128.1/24")
        made.bridge("m", "brother", "10.161.0.1/24")
        made.container("a", "m", "brdef", "10.160.0.2")
        made.container("b", "m", "brdef", "10.160.0.3")
        made.container("c", "m", "bruser", "10.160.128.2")
        made.container("e", "m", "bruser", "10.160.128.3")
        made.container("d", "m", "brother", "10.161.0.2")
        # as another engine that runs with packet rules of its own: all may pass, whatever ours say in `filter`
        made.run("m", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for name in "abcde":
            made.listen(name, "0.0.0.0", PORT)
        for port in (PORT, 53, 7480):
            made.listen("m", "0.0.0.0", port)
        yield made
    finally:
        made.close()


@pytest.fixture
def applied(lab: Namespaces) -> Iterator[Namespaces]:
    with lab.inside("m"):
        done = firewall.apply(SCOPE, POLICY)
    assert done.problems == ()
    yield lab
    with lab.inside("m"):
        firewall.remove(SCOPE.tag)


def dump(lab: Namespaces) -> str:
    with lab.inside("m"):
        return "\n".join(firewall._saved_now())


@pytest.mark.parametrize("source", ["a", "c"])
def test_container_reaches_the_outside_and_the_resolver_only(applied: Namespaces, source: str) -> None:
    """An app downloads and resolves names; it reaches neither the machine, nor the LAN, nor what hands out its keys."""
    gateway = "10.160.0.1" if source == "a" else "10.160.128.1"
    assert applied.reaches(source, OUTSIDE, PORT)
    assert applied.reaches(source, RESOLVER, 53)
    assert applied.reaches(source, "192.0.2.1", 53)  # a resolver on the machine itself
    assert applied.reaches(source, gateway, 7480)  # the ingress
    closed = [
        (METADATA, PORT), (METADATA, 53), (LAN, PORT), (DATABASE, PORT), (RESOLVER, PORT), (gateway, PORT),
        (gateway, 53), ("192.0.2.1", PORT), ("10.161.0.1", PORT),
    ]  # fmt: skip
    assert [one for one in closed if applied.reaches(source, *one)] == []


def test_containers_do_not_reach_each_other(applied: Namespaces) -> None:
    """Not on the same bridge, not on another one of the same engine, not one of another engine, nor the reverse."""
    pairs = [
        ("a", "10.160.0.3"), ("b", "10.160.0.2"), ("a", "10.160.128.2"), ("c", "10.160.0.2"), ("c", "10.160.128.3"),
        ("a", "10.161.0.2"), ("d", "10.160.0.2"), ("d", "10.160.128.2"), ("o", "10.160.0.2"),
    ]  # fmt: skip
    assert [pair for pair in pairs if applied.reaches(*pair, PORT)] == []
    assert applied.run("a", "ip", "neighbour", "show", "10.160.0.3").strip().endswith(("FAILED", "INCOMPLETE", ""))
    assert "lladdr" not in applied.run("a", "ip", "neighbour", "show", "10.160.0.3")


def test_the_rules_are_what_closes(lab: Namespaces) -> None:
    """Without them everything above is reached: the lab can see the difference, and removing them leaves nothing."""
    before = dump(lab)
    for source, address in (("a", "10.160.0.3"), ("a", "10.160.128.2"), ("a", "10.160.0.1"), ("d", "10.160.0.2")):
        assert lab.reaches(source, address, PORT), (source, address)
    with lab.inside("m"):
        firewall.apply(SCOPE, POLICY)
        firewall.remove(SCOPE.tag)
        firewall.remove(SCOPE.tag)
    changed = [line for line in dump(lab).splitlines() if line not in before.splitlines() and line[:1] not in "#:"]
    assert changed == []
    assert SCOPE.tag not in dump(lab)


def test_the_machine_reaches_every_container(applied: Namespaces) -> None:
    """The ingress and the prober ask instances as before."""
    for address in ("10.160.0.2", "10.160.0.3", "10.160.128.2"):
        assert applied.reaches("m", address, PORT)
    # from the gateway's address to itself, which is of the pool
    assert applied.reaches("m", "10.160.0.1", PORT)


def test_applying_again_changes_nothing_and_never_opens_or_cuts(applied: Namespaces) -> None:
    """A supervisor that starts again leaves open connections open and blocked addresses blocked."""
    held = applied.connected("a", OUTSIDE, PORT)
    assert held
    with applied.inside("m"):
        first = firewall.apply(SCOPE, POLICY)
        second = firewall.apply(SCOPE, POLICY)
    # the bridge family's chain is another one each time
    assert [line for line in first.lines if "-0" not in line] == [line for line in second.lines if "-1" not in line]
    assert applied.reaches("a", OUTSIDE, PORT)
    assert not applied.reaches("a", "10.160.0.3", PORT)
    with held:
        held.sendall(b"still there")


def test_two_installations_side_by_side(applied: Namespaces) -> None:
    """Each has its own rules: neither reaches the other, and the end of one leaves the other's in place."""
    with applied.inside("m"):
        firewall.apply(OTHER, Policy())
        ours = firewall.apply(SCOPE, POLICY)
    assert applied.reaches("d", OUTSIDE, PORT)
    assert not applied.reaches("d", "10.160.0.2", PORT)
    assert not applied.reaches("d", "10.161.0.1", 7480)
    with applied.inside("m"):
        firewall.remove(OTHER.tag)
        assert firewall._lines(SCOPE.tag, firewall._saved_now()) == ours.lines
    assert not applied.reaches("a", "10.160.0.3", PORT)


def test_an_allowed_range_is_open_and_closes_again(applied: Namespaces) -> None:
    """`[egress] allow` opens a database of the LAN; without it, also a connection that is open ends."""
    allowed = Policy(resolvers=POLICY.resolvers, allow=(IPv4Network("10.0.0.0/8"),))
    with applied.inside("m"):
        firewall.apply(SCOPE, allowed)
    held = applied.connected("a", DATABASE, PORT)
    assert held
    # the range holds our own containers, another engine's gateway and ours: these are none of the LAN
    for address in ("10.160.0.3", "10.160.128.2", "10.160.0.1", "10.161.0.1"):
        assert not applied.reaches("a", address, PORT), address
    with applied.inside("m"):
        firewall.apply(SCOPE, POLICY)
    assert not applied.reaches("a", DATABASE, PORT)
    with held:
        held.sendall(b"lost")
        queued = applied.run("a", "ss", "-tnH", "dst", DATABASE)
    assert queued.split()[2] != "0", queued  # never acknowledged


async def test_rules_that_another_program_removed_are_noticed(applied: Namespaces) -> None:
    """`iptables -F`, a firewall's reload, one rule deleted by hand: each makes a difference that is seen."""
    with applied.inside("m"):
        for harm in (
            ["iptables", "-t", "mangle", "-F"],
            ["iptables", "-t", "mangle", "-D", f"{SCOPE.tag}-fwd", "-d", "169.254.0.0/16", "-j", "DROP"],
            ["ebtables", "-F"],
            ["iptables", "-t", "nat", "-F"],
        ):
            stands = firewall.apply(SCOPE, POLICY)
            assert await firewall.lines(SCOPE.tag) == stands.lines
            firewall._run(harm)
            assert await firewall.lines(SCOPE.tag) != stands.lines
        firewall.apply(SCOPE, POLICY)
    assert not applied.reaches("a", METADATA, PORT)
    assert not applied.reaches("a", "10.160.0.3", PORT)


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a bare machine the message says what to install."""
    monkeypatch.setattr(firewall, "PATH", str(tmp_path))
    assert firewall.missing_programs() == list(firewall.PROGRAMS)
