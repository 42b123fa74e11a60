"""Finds out whether builds ran out of memory, by the counters of the control group that bounds them."""

from collections.abc import Callable

from pkg import cgroups


def watch(group: str) -> Callable[[], int]:
    """Reads the counters now; the returned function gives the group's limit in MiB if it ran out since, else 0.

    Args:
        group: path of the control group on this machine, "" where builds have none.
    """
    hierarchy = cgroups.here() if group else None
    before = cgroups.read_memory(hierarchy, group) if hierarchy else None

    def ran_out() -> int:
        now = cgroups.read_memory(hierarchy, group) if hierarchy else None
        return now.limit_bytes // (1024 * 1024) if before and now and now.ran_out_since(before) else 0

    return ran_out
