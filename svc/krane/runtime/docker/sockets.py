"""Which ports a container listens on, read from outside through /proc (krane sees the host's processes)."""

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

_LISTEN = "0A"  # TCP_LISTEN of include/net/tcp_states.h
_UNCONNECTED = "07"  # TCP_CLOSE, there: of a UDP socket that was not connected
_MAX_BYTES = 256 * 1024
_ENGINE_RESOLVER = "127.0.0.11"  # Docker's own DNS inside every container; not the app's


def listening(pid: int, proc: Path = Path("/proc")) -> list[tuple[str, int]] | None:
    """(address, port) of every listening TCP socket in the network namespace of `pid`.

    None when the process is gone or not ours to see. Reads at most 256 KiB a file. Sorted, without doubles.
    """
    found: set[tuple[str, int]] = set()
    is_seen = False
    for name in ("tcp", "tcp6"):
        text = _table(pid, proc, name)
        if text is not None:
            found.update(parse(text))
            is_seen = True
    return sorted(found, key=lambda pair: (pair[1], pair[0])) if is_seen else None


def of_app(listening: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The sockets without the engine's own."""
    return [(address, port) for address, port in listening if address != _ENGINE_RESOLVER]


def bound_udp(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """The UDP ports in the network namespace of `pid` that anybody may send to, sorted; [] when none can be seen."""
    text = [_table(pid, proc, name) for name in ("udp", "udp6")]
    found = {pair for table in text if table for pair in parse(table, _UNCONNECTED)}
    return sorted({port for address, port in found if not ipaddress.ip_address(address).is_loopback})


def exposed(ports: Mapping[str, object] | None) -> tuple[int, ...]:
    """The TCP ports of an image's ExposedPorts ("80/tcp"), sorted; ranges of EXPOSE are spelled out there."""
    named = [name.partition("/") for name in ports or ()]
    return tuple(sorted({int(port) for port, _, kind in named if kind in ("", "tcp") and port.isdecimal()}))


def parse(table: str, state: str = _LISTEN) -> list[tuple[str, int]]:
    """The sockets in a state of one table of /proc/net; lines that do not look like it are skipped."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 4 or fields[3] != state:
            continue
        host, _, port = fields[1].partition(":")
        try:
            found.append((_address(host), int(port, 16)))
        except ValueError:
            continue
    return found


def _table(pid: int, proc: Path, name: str) -> str | None:
    try:
        with (proc / str(pid) / "net" / name).open("rb") as table:
            return table.read(_MAX_BYTES).decode("ascii", "replace")
    except OSError:
        return None


def _address(digits: str) -> str:
    """The kernel prints each 32-bit word of the address in the host's byte order (little endian here)."""
    raw = bytes.fromhex(digits)
    words = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    if len(words) == 4:
        return socket.inet_ntop(socket.AF_INET, words)
    if len(words) != 16:
        raise ValueError(f"not an address: {digits!r}")
    address = ipaddress.IPv6Address(words)
    return str(address.ipv4_mapped or address)
