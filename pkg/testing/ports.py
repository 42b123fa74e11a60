"""Free TCP ports for processes that tests start."""

import contextlib
import random
import socket

# Below the ports that the kernel gives to connections (net.ipv4.ip_local_port_range): on such a one, a connection of
# another test may sit by the time that the process listens.
_RANGE = range(15000, 32000)
_TRIES = 100


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Distinct ports that are free now, chosen at random, so that two runs of tests hardly choose the same.

    Raises OSError: the address is not of this machine, or nearly all ports are taken.
    """
    with contextlib.ExitStack() as held:
        return [held.enter_context(_listener(address)).getsockname()[1] for _ in range(count)]


def free_port(address: str = "127.0.0.1") -> int:
    """One of them."""
    return free_ports(1, address)[0]


def _listener(address: str) -> socket.socket:
    for _ in range(_TRIES - 1):
        with contextlib.suppress(OSError):
            return socket.create_server((address, random.choice(_RANGE)))  # noqa: S311, no secret
    return socket.create_server((address, random.choice(_RANGE)))  # noqa: S311, no secret
