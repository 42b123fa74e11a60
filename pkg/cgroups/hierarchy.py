"""Where control groups are mounted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

UNIFIED = Path("/sys/fs/cgroup")  # where version 2 is mounted, if it is the one in use: runc and Docker decide by this
CONTROLLERS = ("memory", "cpu", "pids")


@dataclass(frozen=True)
class Hierarchy:
    """The mounted trees.

    Attributes:
        version: 1 (a tree for each controller) or 2 (one tree).
        roots: mount point by controller, of CONTROLLERS; those that the kernel lacks are absent.
        mounts: every tree, also those of other controllers: a group is made in all of them.
    """

    version: int
    roots: Mapping[str, Path]
    mounts: tuple[Path, ...] = ()

    def group(self, controller: str, path: str) -> Path | None:
        """The directory of a group ("/a/b") in a controller's tree; None without the controller."""
        root = self.roots.get(controller)
        return root / path.lstrip("/") if root else None


def find(mountinfo: str, controllers: str) -> Hierarchy | None:
    """From the text of /proc/self/mountinfo and, for version 2, of the root's cgroup.controllers; None without any."""
    trees: dict[str, Path] = {}
    mounts: list[Path] = []
    for line in mountinfo.splitlines():
        # proc_pid_mountinfo(5): field 5 is the mount point; after the separator type, source and options
        before, _, after = line.partition(" - ")
        place, kind = Path(before.split()[4]), after.split()
        if kind[0] == "cgroup2" and place == UNIFIED:
            return Hierarchy(2, {name: place for name in CONTROLLERS if name in controllers.split()}, (place,))
        if kind[0] in {"cgroup", "cgroup2"}:
            mounts.append(place)
        if kind[0] == "cgroup":
            trees |= {name: place for name in CONTROLLERS if name in kind[2].split(",")}
    return Hierarchy(1, trees, tuple(mounts)) if trees else None


def here() -> Hierarchy | None:
    """Of this machine."""
    try:
        controllers = (UNIFIED / "cgroup.controllers").read_text()
    except OSError:
        controllers = ""
    try:
        return find(Path("/proc/self/mountinfo").read_text(), controllers)
    except OSError:
        return None
