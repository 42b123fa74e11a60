"""Which ports a container listens on, read from outside through /proc (krane sees the host's processes)."""

import ipaddress
import socket
from collections.abc import Mapping
from pathlib import Path

_LISTEN = "0A"  # TCP_LISTEN of include/net/tcp_states.h
_MAX_BYTES = 256 * 1024


def listening(pid: int, proc: Path = Path("/proc")) -> list[tuple[str, int]] | None:
    """(address, port) of every listening TCP socket in the network namespace of `pid`.

    None when the process is gone or not ours to see. Reads at most 256 KiB a file. Sorted, without doubles.
    """
    found: set[tuple[str, int]] = set()
    is_seen = False
    for name in ("tcp", "tcp6"):
        try:
            with (proc / str(pid) / "net" / name).open("rb") as table:
                text = table.read(_MAX_BYTES).decode("ascii", "replace")
        except OSError:
            continue
        found.update(parse(text))
        is_seen = True
    return sorted(found, key=lambda pair: (pair[1], pair[0])) if is_seen else None


def exposed(ports: Mapping[str, object] | None) -> tuple[int, ...]:
    """The TCP ports of an image's ExposedPorts ("80/tcp"), sorted; ranges of EXPOSE are spelled out there."""
    named = [name.partition("/") for name in ports or ()]
    return tuple(sorted({int(port) for port, _, kind in named if kind in ("", "tcp") and port.isdecimal()}))


def parse(table: str) -> list[tuple[str, int]]:
    """The listening sockets of one /proc/net/tcp or tcp6 table; lines that do not look like it are skipped."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 4 or fields[3] != _LISTEN:
            continue
        host, _, port = fields[1].partition(":")
        try:
            found.append((_address(host), int(port, 16)))
        except ValueError:
            continue
    return found


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
