"""Limits of all builds of a private engine together: memory, CPU and processes.

BuildKit inside Docker runs each RUN step in a control group `<cgroup-parent of the daemon>/buildkit/<id>`, whatever a
build asks for. So limits on `buildkit`, made before the engine starts, hold for all steps at once.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from pkg.cgroups import Hierarchy
from svc.standalone.sections import Builds

BUILDKIT = "buildkit"
CPU_PERIOD_US = 100_000
# Of 1024 that each instance has (version 1; 100 in version 2): a build waits for busy instances.
CPU_SHARES, CPU_WEIGHT = 256, 25
# From 0 (spared) to 1000: when the machine's memory ends, builds go first, then apps (krane: 500), then services.
OOM_SCORE_ADJ = 900
LEAST_MEMORY_MIB = 512
_MIB = 1024 * 1024


@dataclass(frozen=True)
class BuildLimits:
    """With every value chosen, but for disk: 0 is decided when it is measured. See `config.Builds`."""

    memory_mib: int
    cpu_millicores: int
    pids: int
    disk_mib: int = 0
    min_free_mib: int = 0


@dataclass(frozen=True)
class Setting:
    """One file of a group.

    Attributes:
        what: the bound, as text for operators; "" where the kernel may lack the file without harm.
    """

    controller: str
    file: str
    value: str
    what: str = ""


def choose(wanted: Builds, machine_memory_mib: int, cores: int) -> BuildLimits:
    """The configured limits; by default half of the memory, and all cores but half a one."""
    return BuildLimits(
        memory_mib=wanted.memory_mib or max(LEAST_MEMORY_MIB, machine_memory_mib // 2),
        cpu_millicores=wanted.cpu_millicores or max(500, cores * 1000 - 500),
        pids=wanted.pids,
        disk_mib=wanted.disk_mib,
        min_free_mib=wanted.min_free_mib,
    )


def of_machine(wanted: Builds) -> BuildLimits:
    """`choose` for the machine that this runs on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return choose(wanted, pages // _MIB, os.cpu_count() or 1)


def settings(version: int, limits: BuildLimits) -> list[Setting]:
    """What to write into `buildkit`, in order. Nothing swaps: a build that does slows down the whole machine."""
    memory = str(limits.memory_mib * _MIB)
    # Above it, so that the limit of memory is the one that is met: on Linux 6.18 only that one counts how often.
    with_swap = str((limits.memory_mib + 1) * _MIB)
    quota = limits.cpu_millicores * CPU_PERIOD_US // 1000
    if version == 2:
        return [
            Setting("memory", "memory.max", memory, "memory"),
            Setting("memory", "memory.swap.max", "0"),
            Setting("cpu", "cpu.max", f"{quota} {CPU_PERIOD_US}", "CPU"),
            Setting("cpu", "cpu.weight", str(CPU_WEIGHT)),
            Setting("pids", "pids.max", str(limits.pids), "processes"),
        ]
    return [
        Setting("memory", "memory.use_hierarchy", "1"),  # before Linux 5.11 children count only so
        # Memory with swap is never below memory: one of the two orders is refused, whichever way the limit moves.
        Setting("memory", "memory.memsw.limit_in_bytes", with_swap),
        Setting("memory", "memory.limit_in_bytes", memory, "memory"),
        Setting("memory", "memory.memsw.limit_in_bytes", with_swap),
        Setting("cpu", "cpu.cfs_period_us", str(CPU_PERIOD_US)),
        Setting("cpu", "cpu.cfs_quota_us", str(quota), "CPU"),
        Setting("cpu", "cpu.shares", str(CPU_SHARES)),
        Setting("pids", "pids.max", str(limits.pids), "processes"),
    ]


def apply(hierarchy: Hierarchy | None, parent: str, limits: BuildLimits) -> list[str]:
    """Make the groups and set the limits; also while builds run. Idempotent. What can't be bounded, for an operator."""
    if hierarchy is None:
        return ["builds have no bounds of memory, CPU and processes: no control groups are mounted"]
    problems = []
    for root in set(hierarchy.roots.values()):
        try:
            _make(hierarchy, root, parent)
        except OSError as error:
            problems.append(f"the control group of builds can't be made: {error}")
    for setting in settings(hierarchy.version, limits):
        group = hierarchy.group(setting.controller, f"{parent}/{BUILDKIT}")
        try:
            if group is None:
                raise FileNotFoundError(f"this kernel has no {setting.controller} controller")
            (group / setting.file).write_text(setting.value)
        except OSError as error:
            if setting.what:
                problems.append(f"the {setting.what} of builds can't be bounded: {error}")
    return problems


def _make(hierarchy: Hierarchy, root: Path, parent: str) -> None:
    outer = root / parent.lstrip("/")
    (outer / BUILDKIT).mkdir(parents=True, exist_ok=True)
    if hierarchy.version == 2:
        # A group has the controllers that each group above hands down.
        for above in (*reversed(outer.relative_to(root).parents), outer.relative_to(root)):
            for name in hierarchy.roots:
                (root / above / "cgroup.subtree_control").write_text(f"+{name}")


def raise_oom_scores(hierarchy: Hierarchy, parent: str) -> None:
    """Let the kernel choose processes of builds before all others. Never lowers; those they start inherit it."""
    for pid in pids_in(hierarchy, f"{parent}/{BUILDKIT}"):
        score = Path(f"/proc/{pid}/oom_score_adj")
        with contextlib.suppress(OSError, ValueError):  # it has ended
            if int(score.read_text()) < OOM_SCORE_ADJ:
                score.write_text(str(OOM_SCORE_ADJ))


def pids_in(hierarchy: Hierarchy, path: str) -> set[int]:
    """Processes in a group and all groups below it."""
    found: set[int] = set()
    for root in set(hierarchy.roots.values()):
        for folder, _, files in os.walk(root / path.lstrip("/")):
            if "cgroup.procs" in files:
                with contextlib.suppress(OSError):
                    found |= {int(pid) for pid in (Path(folder) / "cgroup.procs").read_text().split()}
    return found


def remove(hierarchy: Hierarchy | None, parent: str) -> None:
    """Remove a group and all below it, where no process is left. Idempotent."""
    for root in hierarchy.mounts if hierarchy else ():
        for folder, _, _ in os.walk(root / parent.lstrip("/"), topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
