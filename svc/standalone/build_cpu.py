"""Lets builds of a private engine wait for everybody else on the CPU, and yet get some of it.

A control group that is idle to the scheduler gives way at once to whoever wakes up, on the whole machine. With a small
share of the CPU instead, each request of an app waits for the end of a time slice. But where others use all cores, an
idle group gets next to nothing: then it is an ordinary one for some seconds, again and again.
"""

import contextlib
import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pkg.cgroups import Hierarchy
from svc.standalone import build_limits

LEAST_CORES = 0.1  # with less than that, and something to run, builds starve
STARVES_AFTER_S = 3.0
ORDINARY_S = 3.0
MAX_PIDS_LOOKED_AT = 100
_IDLE = "cpu.idle"


@dataclass
class Turns:
    """When builds are idle to the scheduler, and when they have their ordinary turn. Pure."""

    starved_since: float | None = None
    ordinary_until: float = 0.0

    def is_idle(self, now: float, used_cores: float, *, is_runnable: bool) -> bool:
        """After a round in which builds used so much of the CPU, and had more to run or not."""
        if now < self.ordinary_until:
            return False
        if not is_runnable or used_cores >= LEAST_CORES:
            self.starved_since = None
            return True
        if self.starved_since is None:
            self.starved_since = now
        if now - self.starved_since < STARVES_AFTER_S:
            return True
        self.starved_since, self.ordinary_until = None, now + ORDINARY_S
        return False


class BuildCpu:
    """Of the control group `parent` of one engine. Before Linux 5.15 it stays an ordinary one.

    Containers in it, of before krane had a group of its own or made by hand, would wait, too: then it is ordinary.
    """

    def __init__(self, hierarchy: Hierarchy, parent: str) -> None:
        self._hierarchy = hierarchy
        self._parent = parent
        self._turns = Turns()
        self._last: tuple[float, float] | None = None

    def look(self, now: float) -> None:
        """One round. Never raises."""
        group = self._hierarchy.group("cpu", self._parent)
        if group is None:
            return
        used_s = self._used_s()
        last_at, last_used_s = self._last or (now, used_s)
        self._last = (now, used_s)
        used_cores = (used_s - last_used_s) / (now - last_at) if now > last_at else LEAST_CORES
        is_idle = self._turns.is_idle(now, used_cores, is_runnable=self._is_runnable())
        with contextlib.suppress(OSError):
            wanted = "1" if is_idle and not _others(group) else "0"
            if (group / _IDLE).read_text().strip() != wanted:
                (group / _IDLE).write_text(wanted)

    def _used_s(self) -> float:
        """CPU time of all builds so far; 0 when it is not known, and then they never count as starved."""
        builds = f"{self._parent}/{build_limits.BUILDKIT}".lstrip("/")
        for root in (*self._hierarchy.mounts, *self._hierarchy.roots.values()):
            with contextlib.suppress(OSError):
                return int((root / builds / "cpuacct.usage").read_text()) / 1e9
            with contextlib.suppress(OSError, ValueError, KeyError):
                lines = (root / builds / "cpu.stat").read_text().splitlines()
                return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6
        return 0.0

    def _is_runnable(self) -> bool:
        """Whether a process of a build waits for the CPU, or has it."""
        pids = build_limits.pids_in(self._hierarchy, f"{self._parent}/{build_limits.BUILDKIT}")
        for pid in islice(pids, MAX_PIDS_LOOKED_AT):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("R"):
                    return True
        return False


def _others(group: Path) -> bool:
    """Whether something else than builds is in the group. Raises OSError."""
    folders = [Path(one.path) for one in os.scandir(group) if one.is_dir() and one.name != build_limits.BUILDKIT]
    return any((folder / "cgroup.procs").read_text() for folder in folders)
