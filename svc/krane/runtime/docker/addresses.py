"""The addresses of one network: which range to ask for, and which address a new instance gets. Pure."""

import ipaddress
import time
from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv4Address, IPv4Network

from svc.krane.runtime.port import ADDRESSES, PendingError

PREFIX = 22  # 1,024 addresses; a Linux bridge has 1,023 ports
_STRANGERS_PREFIX = 28  # the end of the range, where the engine takes addresses for what others put on the network
MOST_RESERVED = 32
LEASE_S = 120.0  # twice what a call of the engine may take


def wanted_range(given: IPv4Network) -> IPv4Network:
    """The part of a range that an engine chose by itself which the network takes: at most a /22."""
    return next(given.subnets(new_prefix=PREFIX)) if given.prefixlen < PREFIX else given


def free_ranges(pool: IPv4Network, taken: Iterable[IPv4Network]) -> list[IPv4Network]:
    """The /22 ranges of a pool that overlap none of `taken`, the last one first.

    Engines take from the front for what they choose themselves. A pool that is smaller than a /22 is one range.
    """
    ranges = list(pool.subnets(new_prefix=PREFIX)) if pool.prefixlen < PREFIX else [pool]
    others = list(taken)
    return [one for one in reversed(ranges) if not any(one.overlaps(other) for other in others)]


def gateway(subnet: IPv4Network) -> IPv4Address:
    """The machine's own address on the network."""
    return subnet[1]


def strangers(subnet: IPv4Network) -> IPv4Network:
    """Where the engine's own choices come from: never an address that krane assigns."""
    prefix = max(_STRANGERS_PREFIX, min(32, subnet.prefixlen + 2))
    return list(subnet.subnets(new_prefix=prefix))[-1]


class AddressPool:
    """Assigns the addresses of one network in turn, so that one that was given up rests as long as possible.

    An address is leased from `take` until `end_lease`: by then the container has it, or never will. A lease that nobody
    ends (its caller was cancelled, the engine may still work on it) ends by itself.

    Args:
        subnet: of the network.
        region: named in errors.
        clock: monotonic seconds.
    """

    def __init__(self, subnet: IPv4Network, region: str, clock: Callable[[], float] = time.monotonic) -> None:
        others = strangers(subnet)
        last = int(others.network_address) - 1
        self._first = int(gateway(subnet)) + 1
        self._count = max(0, last - self._first + 1)
        self._region = region
        self._next = 0
        self._leased: dict[str, float] = {}
        self._clock = clock

    @property
    def size(self) -> int:
        """How many instances the network holds."""
        return self._count

    @property
    def reserved(self) -> int:
        """How many of them only live deployments may take."""
        return min(MOST_RESERVED, self._count // 8)

    def take(self, in_use: Collection[str], unusable: Collection[str], *, is_live: bool) -> str:
        """Leases an address.

        Args:
            in_use: of every container on the network, running or not.
            unusable: what must rest, for requests to the app before may still be sent there.
            is_live: the last `reserved` addresses are for these only.

        Raises:
            PendingError: none is left.
        """
        now = self._clock()
        self._leased = {address: until for address, until in self._leased.items() if until > now}
        taken = {*in_use, *self._leased, *unusable}
        numbers = range(self._first, self._first + self._count)
        free = self._count - sum(1 for address in taken if int(ipaddress.ip_address(address)) in numbers)
        # one that is leased is about to be a container's
        used = len({*in_use, *self._leased})
        if free <= (0 if is_live else self.reserved):
            raise PendingError(ADDRESSES, self._full(used, free))
        for _ in range(self._count):
            address = str(IPv4Address(self._first + self._next))
            self._next = (self._next + 1) % self._count
            if address not in taken:
                self._leased[address] = now + LEASE_S
                return address
        raise PendingError(ADDRESSES, self._full(used, 0))

    def end_lease(self, address: str) -> None:
        """Ends a lease. Idempotent."""
        self._leased.pop(address, None)

    def _full(self, used: int, free: int) -> str:
        kept = f", and the last {free} {'is' if free == 1 else 'are'} kept for live deployments" if free else ""
        return (
            f"no address is free in region {self._region}: its network holds {self._count} instances, {used} have an "
            f"address{kept}"
        )
