from ipaddress import IPv4Network, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svc.krane.runtime.docker.addresses import (
    LEASE_S,
    AddressPool,
    free_ranges,
    gateway,
    strangers,
    wanted_range,
)
from svc.krane.runtime.port import ADDRESSES, PendingError

SUBNET = IPv4Network("10.250.0.0/22")
SMALL = IPv4Network("10.250.0.0/26")
BRIDGE_PORTS = 1023

subnets = st.builds(
    lambda number, prefix: IPv4Network((number >> (32 - prefix) << (32 - prefix), prefix)),
    st.integers(0, 2**32 - 1),
    st.integers(24, 28),
)


def test_a_network_holds_about_a_thousand_and_its_bridge_as_many() -> None:
    """The reported limit is the one that holds: addresses, and ports of a Linux bridge."""
    pool = AddressPool(SUBNET, "local")
    assert (pool.size, pool.reserved) == (1006, 32)
    assert pool.size + strangers(SUBNET).num_addresses <= BRIDGE_PORTS


@settings(max_examples=12, deadline=None)
@given(subnets)
def test_no_address_is_the_machines_or_one_that_the_engine_gives_away(given_range: IPv4Network) -> None:
    """Whatever range an engine has: what krane assigns is inside, and nobody else's."""
    subnet = wanted_range(given_range)
    assert subnet == given_range
    pool = AddressPool(subnet, "local")
    assert pool.size > 0
    taken: set[str] = set()
    for _ in range(pool.size):
        taken.add(pool.take(taken, (), is_live=True))
    assert len(taken) == pool.size
    for address in map(ip_address, taken):
        assert address in subnet
        assert address not in strangers(subnet)
        assert address not in (gateway(subnet), subnet.network_address, subnet.broadcast_address)
    with pytest.raises(PendingError):
        pool.take(taken, (), is_live=True)


def test_a_large_range_is_not_taken_whole() -> None:
    """Engines choose a /16; a bridge could not hold it, and others want addresses, too."""
    assert wanted_range(IPv4Network("172.18.0.0/16")) == IPv4Network("172.18.0.0/22")


def test_an_address_rests_as_long_as_there_are_others() -> None:
    """What was given up comes last: a client that still has it in a cache reaches nobody."""
    pool = AddressPool(SMALL, "local")
    first = pool.take((), (), is_live=True)
    pool.end_lease(first)
    others = set()
    for _ in range(pool.size - 1):
        address = pool.take((), (), is_live=True)
        pool.end_lease(address)
        others.add(address)
    assert first not in others
    assert pool.take((), (), is_live=True) == first


def test_what_rests_is_not_given_away_even_when_nothing_else_is_left() -> None:
    """A request of one app never reaches another one, not even when all addresses are used up."""
    pool = AddressPool(SMALL, "local")
    resting = {pool.take((), (), is_live=True) for _ in range(pool.size)}
    for address in resting:
        pool.end_lease(address)
    with pytest.raises(PendingError):
        pool.take((), resting, is_live=True)


def test_the_last_ones_are_kept_for_what_is_live() -> None:
    """A killed live app comes back although deploys have taken all that they may; the error counts."""
    pool = AddressPool(SMALL, "eu")
    used = {pool.take((), (), is_live=False) for _ in range(pool.size - pool.reserved)}
    with pytest.raises(PendingError) as refused:
        pool.take(used, (), is_live=False)
    assert refused.value.resource == ADDRESSES
    assert refused.value.message == (
        f"no address is free in region eu: its network holds {pool.size} instances, {len(used)} have an address, "
        f"and the last {pool.reserved} are kept for live deployments"
    )
    for _ in range(pool.reserved):
        pool.take(used, (), is_live=True)
    with pytest.raises(PendingError):
        pool.take(used, (), is_live=True)


def test_the_lease_of_a_start_that_vanished_ends() -> None:
    """A crash in the middle of a start costs an address for two minutes, not for good."""
    now = [0.0]
    pool = AddressPool(SMALL, "local", lambda: now[0])
    for _ in range(pool.size):
        pool.take((), (), is_live=True)
    with pytest.raises(PendingError):
        pool.take((), (), is_live=True)
    now[0] = LEASE_S + 1
    pool.take((), (), is_live=True)


@given(st.lists(st.integers(0, 31), max_size=32, unique=True))
def test_free_ranges_overlap_nothing(numbers: list[int]) -> None:
    """A network of before, or of someone else, is never run over."""
    pool = IPv4Network("10.250.128.0/17")
    all_of_it = list(pool.subnets(new_prefix=22))
    taken = [next(all_of_it[number].subnets(new_prefix=24)) for number in numbers]
    free = free_ranges(pool, taken)
    assert len(free) == 32 - len(numbers)
    assert not any(one.overlaps(other) for one in free for other in taken)


def test_a_lease_counts_as_an_address_that_is_taken() -> None:
    """Promise: while containers are being created, the figures in the refusal add up."""
    pool = AddressPool(SMALL, "eu")
    taken = [pool.take((), (), is_live=False) for _ in range(pool.size - pool.reserved)]
    with pytest.raises(PendingError) as refused:
        pool.take(taken[:1], (), is_live=False)
    assert f"its network holds {pool.size} instances, {len(taken)} have an address" in refused.value.message
