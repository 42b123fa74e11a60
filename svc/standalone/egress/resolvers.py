"""The resolvers that an engine gives its containers, found as the engine finds them."""

import json
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

RESOLV_CONF = Path("/etc/resolv.conf")
# With systemd-resolved's stub (127.0.0.53) alone in resolv.conf, Docker reads this one: moby, libnetwork/resolvconf.
RESOLVED_CONF = Path("/run/systemd/resolve/resolv.conf")
_STUB = IPv4Address("127.0.0.53")


def of_containers(resolv_conf: Path = RESOLV_CONF, resolved_conf: Path = RESOLVED_CONF) -> tuple[IPv4Address, ...]:
    """Addresses that a container asks by itself, in order.

    Without those on loopback: the engine asks them on behalf of its user-defined networks, and gives containers on its
    default bridge public ones instead. Empty when no file can be read.
    """
    found = nameservers(_read(resolv_conf))
    if found == (_STUB,):
        found = nameservers(_read(resolved_conf))
    return tuple(address for address in found if not address.is_loopback)


def of_daemon(daemon_json: Path) -> tuple[IPv4Address, ...]:
    """Those that an engine's configuration names for all of its containers; none if it can't be read."""
    try:
        found = json.loads(_read(daemon_json)).get("dns")
    except (ValueError, AttributeError):
        return ()
    named = found if isinstance(found, list) else []
    return nameservers("\n".join(f"nameserver {address}" for address in named))


def nameservers(text: str) -> tuple[IPv4Address, ...]:
    """IPv4 addresses of the `nameserver` lines, resolv.conf(5), each once."""
    found: dict[IPv4Address, None] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found[IPv4Address(words[1])] = None
            except AddressValueError:
                continue  # IPv6, which containers don't have
    return tuple(found)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
