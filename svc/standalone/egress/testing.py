"""Network namespaces that stand in for a machine, its containers, its neighbours and the outside. Needs root."""

import contextlib
import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pkg.testing.wait import WAIT_S

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

REACHED_WITHIN_S = 2.0
CLOSED_AFTER_S = 0.25


class Namespaces:
    """Namespaces by short names; gone with `close`."""

    def __init__(self) -> None:
        self._prefix = f"slt{os.getpid()}"
        self._made: list[str] = []
        self._listeners: list[socket.socket] = []

    def add(self, *names: str) -> None:
        """Make empty ones, their loopback up."""
        for name in names:
            run("ip", "netns", "add", f"{self._prefix}{name}")
            self._made.append(name)
            self.run(name, "ip", "link", "set", "lo", "up")

    def run(self, name: str, *argv: str) -> str:
        """A command in one of them."""
        return run("ip", "netns", "exec", f"{self._prefix}{name}", *argv)

    def link(self, name: str, device: str, address: str, peer: str, peer_device: str, *, mac: str = "") -> None:
        """A cable between two, with an address at the end of the first."""
        run(
            "ip", "link", "add", device, "netns", self._prefix + name, "type", "veth",
            "peer", "name", peer_device, "netns", self._prefix + peer,
        )  # fmt: skip
        if mac:
            self.run(name, "ip", "link", "set", device, "address", mac)
        self.run(name, "ip", "address", "add", address, "dev", device)
        self.run(name, "ip", "link", "set", device, "up")
        self.run(peer, "ip", "link", "set", peer_device, "up")

    def bridge(self, name: str, device: str, address: str) -> None:
        """A bridge, as an engine makes it."""
        self.run(name, "ip", "link", "add", device, "type", "bridge")
        self.run(name, "ip", "address", "add", address, "dev", device)
        self.run(name, "ip", "link", "set", device, "up")

    def container(self, name: str, machine: str, bridge: str, address: str) -> None:
        """One behind a bridge of a machine, with the MAC that Docker 20.10 would give it."""
        self.add(name)
        mac = "02:42:" + socket.inet_aton(address).hex(":")
        self.link(name, "eth0", f"{address}/24", machine, f"v{name}", mac=mac)
        self.run(machine, "ip", "link", "set", f"v{name}", "master", bridge)
        gateway = address.rsplit(".", 1)[0] + ".1"
        self.run(name, "ip", "route", "add", "default", "via", gateway)

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """This thread, and what it starts, is in there."""
        with entered(Path(f"/run/netns/{self._prefix}{name}")):
            yield

    def listen(self, name: str, address: str, port: int) -> None:
        """Something answers there, over TCP and UDP."""
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with self.inside(name):
                one = socket.socket(socket.AF_INET, kind)
            one.bind((address, port))
            if kind == socket.SOCK_STREAM:
                one.listen(64)
            self._listeners.append(one)

    def connected(self, name: str, address: str, port: int) -> socket.socket | None:
        """A connection from there; None if it is not taken within the time."""
        with self.inside(name):
            one = socket.socket()
        one.settimeout(REACHED_WITHIN_S)
        try:
            one.connect((address, port))
        except OSError:
            one.close()
            return None
        return one

    def reaches(self, name: str, address: str, port: int) -> bool:
        """`reaches` from one of them."""
        return reaches(Path(f"/run/netns/{self._prefix}{name}"), address, port)

    def close(self) -> None:
        """Removes them all."""
        for one in self._listeners:
            one.close()
        for name in self._made:
            run("ip", "netns", "delete", f"{self._prefix}{name}")


@contextlib.contextmanager
def entered(namespace: Path) -> Iterator[None]:
    """This thread, and what it starts, is in a network namespace: /run/netns/<name> or /proc/<pid>/ns/net."""
    with Path("/proc/thread-self/ns/net").open() as home, namespace.open() as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def reaches(namespace: Path, address: str, port: int) -> bool:
    """Whether a TCP connection from a network namespace is taken.

    What is closed is dropped, so that a no takes CLOSED_AFTER_S.
    """
    with entered(namespace):
        one = socket.socket()
    with one:
        one.settimeout(CLOSED_AFTER_S)
        try:
            one.connect((address, port))
        except OSError:
            return False
        return True


def run(*argv: str) -> str:
    """A command that must succeed; its output."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
