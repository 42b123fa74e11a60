"""The memory counters of a group: whether something in it was killed because its memory ran out."""

from dataclasses import dataclass
from pathlib import Path

from pkg.cgroups.hierarchy import Hierarchy

VMSTAT = Path("/proc/vmstat")


@dataclass(frozen=True)
class MemoryCounters:
    """What a group says of its memory at one moment.

    Attributes:
        limit_bytes: of the group; 0 when it has none.
        at_limit: how often the group was at its limit.
        kills: processes killed for want of memory: in the group (version 2), or on the machine (version 1, where a
            group counts only its own and not those of the groups in it).
    """

    limit_bytes: int
    at_limit: int
    kills: int

    def ran_out_since(self, before: "MemoryCounters") -> bool:
        """Whether the group met its limit and somebody was killed for it: both counters say so."""
        return self.at_limit > before.at_limit and self.kills > before.kills


def read_memory(hierarchy: Hierarchy, path: str) -> MemoryCounters | None:
    """Of the group now; None when it is not there or does not say."""
    group = hierarchy.group("memory", path)
    if group is None:
        return None
    try:
        if hierarchy.version == 2:
            # memory.events counts the groups below, too
            events = _pairs((group / "memory.events").read_text())
            limit = (group / "memory.max").read_text().strip()
            return MemoryCounters(int(limit) if limit.isdecimal() else 0, events["oom"], events["oom_kill"])
        return MemoryCounters(
            int((group / "memory.limit_in_bytes").read_text()),
            int((group / "memory.failcnt").read_text()),
            _pairs(VMSTAT.read_text())["oom_kill"],
        )
    except (OSError, ValueError, KeyError):
        return None


def _pairs(text: str) -> dict[str, int]:
    return {words[0]: int(words[1]) for line in text.splitlines() if len(words := line.split()) == 2}
