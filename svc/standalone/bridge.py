"""The network of a private engine: a bridge, an address range and packet rules of its own.

The engine itself runs with `iptables = false`: two engines on one machine would otherwise delete each other's chains.
Its rules carry the bridge's name and are found by it again (`svc.standalone.egress`).
"""

import hashlib
import ipaddress
import subprocess
from dataclasses import dataclass
from pathlib import Path

from svc.standalone.egress import Policy, Scope, firewall
from svc.standalone.errors import StartupError

_COMMAND_TIMEOUT_S = 10.0
_RANGES = 64
_FIRST_RANGE = 160


@dataclass(frozen=True)
class Bridge:
    """One /16, its first /24 for the bridge, its upper half for the networks that krane makes.

    Attributes:
        name: of the network device.
        octet: the range is 10.<octet>.0.0/16.
    """

    name: str
    octet: int

    @property
    def pool(self) -> str:
        """Every address of this engine."""
        return f"10.{self.octet}.0.0/16"

    @property
    def address(self) -> str:
        """Of the machine on the bridge."""
        return f"10.{self.octet}.0.1/24"

    @property
    def networks(self) -> str:
        """What user-defined networks are cut from."""
        return f"10.{self.octet}.128.0/17"

    def up(self, instances: str, policy: Policy) -> firewall.Applied:
        """Make the bridge and its rules. Idempotent.

        Args:
            instances: name of the device that krane's network has or will have.
            policy: what containers reach.

        Raises:
            StartupError: the kernel or a missing program refuses.
        """
        if not Path(f"/sys/class/net/{self.name}").exists():
            _run("ip", "link", "add", self.name, "type", "bridge")
        # Containers have no IPv6; so the machine has no address of that kind on the bridge either.
        no_ipv6 = Path(f"/proc/sys/net/ipv6/conf/{self.name}/disable_ipv6")
        if no_ipv6.exists():
            no_ipv6.write_text("1")
        if self.address not in _run("ip", "-4", "-o", "address", "show", "dev", self.name):
            _run("ip", "address", "add", self.address, "dev", self.name)
        _run("ip", "link", "set", self.name, "up")
        # The rules come before anything can pass.
        applied = firewall.apply(self.scope(instances), policy)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        return applied

    def scope(self, instances: str) -> Scope:
        """Whose packets the rules are about; `instances` as for `up`."""
        return Scope(self.name, (self.name, instances), (ipaddress.IPv4Network(self.pool),), routes=True)

    def down(self) -> None:
        """Remove the rules and the bridge. Idempotent."""
        _succeeds("ip", "link", "delete", self.name)
        firewall.remove(self.name)


def choose(root: Path, directory: Path) -> Bridge:
    """The bridge of an installation: the same one at every start, in a range that nothing routes yet at the first.

    Args:
        root: of the state directory; two installations on one machine differ.
        directory: where the choice is remembered.

    Raises:
        StartupError: no range is free.
    """
    digest = hashlib.sha256(str(root).encode()).digest()
    name = f"sealift{digest.hex()[:6]}"
    remembered = directory / "range"
    if remembered.exists():
        return Bridge(name, int(remembered.read_text()))
    taken = [ipaddress.ip_network(route) for route in _routes()]
    for step in range(_RANGES):
        octet = _FIRST_RANGE + (digest[0] + step) % _RANGES
        bridge = Bridge(name, octet)
        if not any(ipaddress.ip_network(bridge.pool).overlaps(network) for network in taken):
            remembered.write_text(str(octet))
            return bridge
    raise StartupError(
        f"no address range is free for a private Docker engine: 10.{_FIRST_RANGE}.0.0 to "
        f"10.{_FIRST_RANGE + _RANGES - 1}.255.255 are all routed. Start an engine on this machine and set "
        f"engine.socket."
    )


def _routes() -> list[str]:
    words = [line.split()[0] for line in _run("ip", "-4", "-o", "route", "show").splitlines() if line.strip()]
    return [word for word in words if word[0].isdigit()]


def _run(*argv: str) -> str:
    try:
        done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S)
    except FileNotFoundError as error:
        raise StartupError(f"a private Docker engine needs the program {argv[0]}: run `make setup`.") from error
    except subprocess.CalledProcessError as error:
        raise StartupError(f"`{' '.join(argv)}` failed: {error.stderr.strip()}.") from error
    except subprocess.TimeoutExpired as error:
        raise StartupError(f"`{' '.join(argv)}` did not end within {_COMMAND_TIMEOUT_S:.0f} s.") from error
    return done.stdout


def _succeeds(*argv: str) -> bool:
    return subprocess.run(argv, check=False, capture_output=True, timeout=_COMMAND_TIMEOUT_S).returncode == 0
