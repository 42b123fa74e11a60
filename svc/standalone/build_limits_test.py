"""Limits of builds: what is written into which file, for both versions of control groups."""

import os
from pathlib import Path

import pytest

from pkg import cgroups
from pkg.cgroups import Hierarchy
from svc.standalone import build_limits
from svc.standalone.build_limits import BuildLimits
from svc.standalone.sections import Builds

WANTED = BuildLimits(memory_mib=512, cpu_millicores=1500, pids=4096)


def test_defaults_leave_room_for_apps() -> None:
    """Half of the memory, and half a core less than there is; a small machine still builds."""
    assert build_limits.choose(Builds(), 8192, 4) == BuildLimits(4096, 3500, 4096)
    assert build_limits.choose(Builds(), 700, 1) == BuildLimits(512, 500, 4096)
    assert build_limits.choose(Builds(memory_mib=300, cpu_millicores=100, pids=64), 8192, 4) == BuildLimits(
        300, 100, 64
    )


def test_version_2_writes(tmp_path: Path) -> None:
    """Controllers are handed down from the root to the parent, then the limits stand in `buildkit`."""
    tree = Hierarchy(2, dict.fromkeys(("memory", "cpu", "pids"), tmp_path))
    assert build_limits.apply(tree, "/sealiftx", WANTED) == []
    group = tmp_path / "sealiftx" / "buildkit"
    written = {path.name: path.read_text() for path in group.iterdir()}
    assert written == {
        "memory.max": str(512 * 1024 * 1024), "memory.swap.max": "0", "cpu.max": "150000 100000", "cpu.weight": "25",
        "pids.max": "4096",
    }  # fmt: skip
    for folder in (tmp_path, tmp_path / "sealiftx"):
        assert (folder / "cgroup.subtree_control").read_text().startswith("+")
    assert not (group / "cgroup.subtree_control").exists()


def test_a_controller_that_is_missing_is_told(tmp_path: Path) -> None:
    """The other bounds hold, and the operator learns which does not."""
    tree = Hierarchy(2, dict.fromkeys(("cpu", "pids"), tmp_path))
    (problem,) = build_limits.apply(tree, "/sealiftx", WANTED)
    assert "memory of builds" in problem
    assert build_limits.apply(None, "/sealiftx", WANTED) != []


@pytest.mark.skipif(os.geteuid() != 0, reason="control groups are root's")
def test_on_this_machine() -> None:
    """The kernel takes every value, also again and with a limit that moved either way; removing leaves nothing."""
    tree, parent = cgroups.here(), f"/sealifttest{os.getpid()}"
    assert tree
    try:
        for memory_mib in (512, 256, 1024):
            assert build_limits.apply(tree, parent, BuildLimits(memory_mib, 1500, 100)) == []
            found = cgroups.read_memory(tree, f"{parent}/{build_limits.BUILDKIT}")
            assert found
            assert found.limit_bytes == memory_mib * 1024 * 1024
    finally:
        build_limits.remove(tree, parent)
    assert not any((root / parent.lstrip("/")).exists() for root in tree.mounts)
