"""The processes of commands in containers, seen and signalled from outside, through /proc. Blocking, some milliseconds.

A process counts if its control group is the container's, and either its environment has the mark of the command, or it
is in the command's session. So nothing outside of the container is ever signalled, and a process that was given a
number anew is not mistaken for the one before it.
"""

import contextlib
import os
import re
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from svc.krane.runtime.execs import MARK

_MAX_BYTES = 256 << 10
_CONTAINER = re.compile(rb"[0-9a-f]{64}")
_MARKED = re.compile(rb"(?:^|\0)" + MARK.encode() + rb"=([A-Za-z0-9_]{1,64})(?:\0|$)")


def is_visible(pid: int, container_id: str, proc: Path = Path("/proc")) -> bool:
    """Whether the container's processes can be seen and signalled from here."""
    if container_id.encode() not in _containers(proc / str(pid)):
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return _read(proc / str(pid) / "environ") is not None


def of_exec(container_id: str, exec_id: str, session: int, proc: Path = Path("/proc")) -> list[int]:
    """The processes of one command. `session`: the number of its first process; 0: not known."""
    return [
        pid
        for pid, marks in _processes({container_id}, proc)
        if exec_id in marks or (session and _session(proc / str(pid)) == session)
    ]


def marked(container_ids: Iterable[str], proc: Path = Path("/proc")) -> list[int]:
    """The processes of all commands in these containers."""
    return [pid for pid, marks in _processes(set(container_ids), proc) if marks]


def send(pids: Iterable[int], number: int) -> None:
    """Signals the processes; those that have ended are left out."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def kill_all(container_id: str, exec_id: str, session: int) -> bool:
    """Kills the processes of one command, and those that they start meanwhile. False: some are left."""
    for _ in range(20):
        left = of_exec(container_id, exec_id, session)
        if not left:
            return True
        send(left, signal.SIGKILL)
    return False


def _processes(container_ids: set[str], proc: Path) -> Iterator[tuple[int, set[str]]]:
    wanted = {one.encode() for one in container_ids}
    for entry in proc.iterdir():
        if not entry.name.isdecimal() or not wanted & _containers(entry):
            continue
        environment = _read(entry / "environ")
        if environment is None or (not environment and _is_zombie(entry)):
            continue
        yield int(entry.name), {one.decode() for one in _MARKED.findall(environment)}


def _containers(process: Path) -> set[bytes]:
    return set(_CONTAINER.findall(_read(process / "cgroup") or b""))


def _session(process: Path) -> int:
    fields = _stat(process)
    return int(fields[3]) if len(fields) > 3 else 0


def _is_zombie(process: Path) -> bool:
    return _stat(process)[:1] in ([b"Z"], [b"X"])


def _stat(process: Path) -> list[bytes]:
    """State, parent, process group, session and so on: what follows the name, which may hold anything."""
    return (_read(process / "stat") or b"").rpartition(b")")[2].split()


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES)
    except OSError:
        return None
