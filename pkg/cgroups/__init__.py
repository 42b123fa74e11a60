"""Control groups of this machine, version 1 and 2: where they are mounted, and what a group's memory counters say.

Reading only; who sets limits is the supervisor. Nothing here raises when a file is missing: groups vanish.
"""

from pkg.cgroups.hierarchy import Hierarchy, find, here
from pkg.cgroups.memory import MemoryCounters, read_memory

__all__ = ["Hierarchy", "MemoryCounters", "find", "here", "read_memory"]
