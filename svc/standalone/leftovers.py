"""Processes that a killed engine leaves: shims of containers, half-started ones in them, and steps of builds.

A shim outlives its engine on purpose; one whose container no engine knows is never ended by anybody. They are found by
what is only one engine's: the containerd namespace in a shim's command line, and the control group.
"""

import contextlib
import itertools
import signal
from dataclasses import dataclass
from pathlib import Path

from svc.standalone.process import Identity, identify, send_signal

_SHIM = "containerd-shim"


@dataclass(frozen=True)
class Shim:
    """One shim process and the container that it holds."""

    process: Identity
    container: str


def shims(namespace: str) -> list[Shim]:
    """Shims of a containerd namespace, and of the one for plugins beside it."""
    found = []
    for pid in _pids():
        words = _command_line(pid)
        if not words or not Path(words[0]).name.startswith(_SHIM):
            continue
        if _value(words, "-namespace") in {namespace, f"{namespace}-plugins"} and (identity := identify(pid)):
            found.append(Shim(identity, _value(words, "-id")))
    return found


def below(roots: set[int]) -> list[Identity]:
    """All descendants of some processes, as they are now."""
    parents = {pid: parent for pid in _pids() if (parent := _parent(pid))}
    inside, grown = set(roots), True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in inside} - inside
        inside, grown = inside | more, bool(more)
    return [identity for pid in inside - roots if (identity := identify(pid))]


def kill(processes: list[Identity]) -> int:
    """Kill them; how many there were. No engine waits for them, so they are not asked to end first."""
    for process in processes:
        send_signal(process, signal.SIGKILL)
    return len(processes)


def kill_shims(unknown: list[Shim]) -> int:
    """End shims with all that runs below them; how many shims there were."""
    # First what they hold: it would be handed to another parent, and no longer be found.
    kill(below({shim.process.pid for shim in unknown}))
    return kill([shim.process for shim in unknown])


def kill_group(pids: set[int]) -> int:
    """End processes by number, as a control group lists them."""
    return kill([identity for pid in pids if (identity := identify(pid))])


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _command_line(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    return []


def _value(words: list[str], option: str) -> str:
    return next((value for name, value in itertools.pairwise(words) if name == option), "")


def _parent(pid: int) -> int:
    """0 for one that has ended. proc_pid_stat(5): the fourth field; the second may hold blanks and brackets."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
