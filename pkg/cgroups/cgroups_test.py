"""The version is detected as runc does it, and "out of memory" needs two counters that agree."""

from pathlib import Path

from pkg.cgroups import Hierarchy, MemoryCounters, find, here, read_memory

V1 = """\
24 22 0:21 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
25 24 0:22 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
26 24 0:23 / /sys/fs/cgroup/memory rw,relatime shared:3 - cgroup cgroup rw,memory
27 24 0:24 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
28 24 0:25 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
V2 = "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"


def test_version_1_beside_an_unused_version_2() -> None:
    """A hybrid machine keeps its limits in the trees of version 1."""
    found = find(V1, "")
    assert found
    assert found.version == 1
    assert found.group("cpu", "/a/b") == Path("/sys/fs/cgroup/cpu,cpuacct/a/b")
    assert set(found.roots) == {"memory", "cpu", "pids"}
    assert len(found.mounts) == 4


def test_version_2_with_the_controllers_that_it_has() -> None:
    """A kernel started without the memory controller is not taken for one that bounds memory."""
    found = find(V2, "cpuset cpu io pids\n")
    root = Path("/sys/fs/cgroup")
    assert found == Hierarchy(2, {"cpu": root, "pids": root}, (root,))
    assert found.group("memory", "/a") is None


def test_none_at_all() -> None:
    """No control groups are not an error to trip over."""
    assert find("24 22 0:21 / / rw - ext4 /dev/vda rw\n", "") is None


def test_counters_of_version_2(tmp_path: Path) -> None:
    """A kill in any group below counts, and the limit is returned."""
    group = tmp_path / "builds"
    group.mkdir()
    (group / "memory.max").write_text("1048576\n")
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n")
    tree = Hierarchy(2, {"memory": tmp_path})
    assert read_memory(tree, "/builds") == MemoryCounters(1048576, 1, 1)
    (group / "memory.max").write_text("max\n")
    assert read_memory(tree, "/builds") == MemoryCounters(0, 1, 1)
    assert read_memory(tree, "/gone") is None


def test_out_of_memory_needs_both_counters() -> None:
    """A full page cache alone, or another app's kill alone, is no proof."""
    before = MemoryCounters(1, 10, 3)
    assert MemoryCounters(1, 11, 4).ran_out_since(before)
    assert not MemoryCounters(1, 11, 3).ran_out_since(before)
    assert not MemoryCounters(1, 10, 4).ran_out_since(before)


def test_this_machine_has_some() -> None:
    """What is read here is what the engine uses: a group that has no limit still says how often it met one."""
    found = here()
    assert found
    assert found.version in {1, 2}
