"""Bounds that a step of a build was ended at, as a line at the end of the step's own output. Pure.

Who ends the step writes the line (the supervisor, on a private engine); who reads the output finds the reason in it.
So the reason reaches exactly the build that the step belongs to, without another way between the two. A command that
prints such a line itself changes nothing but the words of its own failure.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LINE = re.compile(r"sealift: this step was ended: (?P<why>.+ \(\[builds\] (?P<setting>disk_mib|min_free_mib|pids)\))")
_MIB = 1 << 20


@dataclass(frozen=True)
class BoundHit:
    """Why a step was ended.

    Attributes:
        setting: the key of the operator's section [builds] that sets the bound.
        why: for users, without a full stop; names value, bound and setting.
    """

    setting: str
    why: str

    @property
    def line(self) -> str:
        """For the step's output."""
        return f"sealift: this step was ended: {self.why}"

    @property
    def is_of_disk(self) -> bool:
        """Whether the step wrote too much."""
        return self.setting != "pids"


def of_disk(written_bytes: int, all_bytes: int, limit_bytes: int) -> BoundHit:
    """The builds under way wrote more than they may, and this step the most of it."""
    together = "" if written_bytes == all_bytes else f", all builds under way {_mib(all_bytes)}"
    why = f"it wrote {_mib(written_bytes)}{together}; builds may write {_mib(limit_bytes)} at a time"
    return BoundHit("disk_mib", f"{why} ([builds] disk_mib)")


def of_free_space(written_bytes: int, free_bytes: int, limit_bytes: int) -> BoundHit:
    """The disk is nearly full, and this step wrote the most of the builds under way."""
    why = f"it wrote {_mib(written_bytes)} and the builder's disk had {_mib(free_bytes)} left"
    return BoundHit("min_free_mib", f"{why}; builds leave {_mib(limit_bytes)} free ([builds] min_free_mib)")


def of_copying(free_bytes: int, limit_bytes: int) -> BoundHit:
    """The disk is nearly full while the engine copies or fetches for builds."""
    why = f"the builder's disk had {_mib(free_bytes)} left"
    return BoundHit("min_free_mib", f"{why}; builds leave {_mib(limit_bytes)} free ([builds] min_free_mib)")


def least_free_bytes(min_free_mib: int, disk_bytes: int) -> int:
    """What builds leave free on a disk of this size: as configured, else a twentieth of it, at most 5 GiB."""
    return min_free_mib * _MIB or min(5 << 30, disk_bytes // 20)


def of_processes(limit: int) -> BoundHit:
    """The step has as many processes and threads as it may, and no end of them in sight."""
    return BoundHit("pids", f"it ran {limit} processes and threads, as many as one step may ([builds] pids)")


def find(output: Iterable[str]) -> BoundHit | None:
    """The bound that the last such line names; None if there is none."""
    found = [match for line in output if (match := _LINE.search(line))]
    return BoundHit(found[-1]["setting"], found[-1]["why"]) if found else None


def _mib(size_bytes: int) -> str:
    return f"{size_bytes // _MIB:,} MiB"
