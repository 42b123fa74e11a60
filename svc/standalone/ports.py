"""The table of TCP ports, checked before anything starts: a taken port is reported with the process that holds it."""

import contextlib
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from svc.standalone.errors import StartupError

_LISTEN = "0A"


@dataclass(frozen=True)
class Port:
    """One listener of the stack. `number` 0 asks for any free one."""

    name: str
    host: str
    number: int


@dataclass(frozen=True)
class ListeningProcess:
    """A process that listens on a port."""

    pid: int
    command: str


def choose(ports: list[Port]) -> list[Port]:
    """The same ports with every 0 replaced by a free number. All are held until all are chosen, so they differ."""
    with contextlib.ExitStack() as held:
        chosen = []
        for port in ports:
            number = port.number
            if number == 0:
                probe = held.enter_context(socket.socket())
                probe.bind((port.host, 0))
                number = probe.getsockname()[1]
            chosen.append(Port(port.name, port.host, number))
        return chosen


def check(ports: list[Port], ours: frozenset[int] = frozenset(), *, patience_s: float = 2.0) -> None:
    """Return when every port is free, or held by one of the processes `ours`.

    Args:
        ports: with numbers.
        ours: pids that may hold a port already (an adopted Envoy).
        patience_s: how long a process that is just ending may take to release it.

    Raises:
        StartupError: names each taken port, who holds it and what to do.
    """
    end = time.monotonic() + patience_s
    while True:
        taken = [port for port in ports if not _is_free(port) and not _held_by(port.number, ours)]
        if not taken:
            return
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    lines = [f"{port.host}:{port.number} (ports.{port.name}) is taken by {_describe(port.number)}" for port in taken]
    raise StartupError("; ".join(lines) + ". End that process, or set other ports in the config file or by flag.")


def _is_free(port: Port) -> bool:
    with socket.socket() as probe:
        # As the services do it: a connection in TIME_WAIT does not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((port.host, port.number))
            probe.listen(1)
        except OSError:
            return False
    return True


def _held_by(number: int, pids: frozenset[int]) -> bool:
    return bool(pids) and any(process.pid in pids for process in listening_processes(number))


def _describe(number: int) -> str:
    found = listening_processes(number)
    if not found:
        return "a process that this user may not see"
    return " and ".join(f"process {process.pid} ({process.command})" for process in found)


def listening_processes(number: int) -> list[ListeningProcess]:
    """The processes that listen on a TCP port, as far as this user may see them."""
    inodes = _listening_inodes(number)
    processes = [directory for directory in Path("/proc").iterdir() if directory.name.isdigit()] if inodes else []
    return [
        ListeningProcess(int(process.name), _command(process)) for process in processes if _has_socket(process, inodes)
    ]


def _listening_inodes(number: int) -> set[str]:
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == number:
                inodes.add(fields[9])
    return inodes


def _has_socket(process: Path, inodes: set[str]) -> bool:
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(descriptor.readlink())
                if target.startswith("socket:[") and target[8:-1] in inodes:
                    return True
    return False


def _command(process: Path) -> str:
    with contextlib.suppress(OSError):
        words = (process / "cmdline").read_bytes().split(b"\0")
        # Arguments may hold secrets of others: the program, and for an interpreter what it runs.
        shown = [word.decode(errors="replace") for word in words[:3] if word]
        return " ".join(shown)[:80] or (process / "comm").read_text().strip()
    return "gone"
