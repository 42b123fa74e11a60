"""Steps of builds that run on a private engine: which there are, what each has written, and how one is ended.

BuildKit runs a step as `runc run --bundle <data-root>/buildkit/executor/<id> <id>`, in the control group
`<parent>/buildkit/<id>`. What the step writes goes to directories below `<data-root>/overlay2`: the layer on top of its
root, and its cache mounts. Nothing here raises when a step has ended in between.
"""

import asyncio
import contextlib
import os
import re
import signal
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pkg.builds.bounds import BoundHit
from pkg.cgroups import Hierarchy

# An empty file costs an inode and a part of a directory: nobody fills the disk with a great many of them unseen.
LEAST_FILE_BYTES = 4096
ENTRIES_A_TURN = 500  # some milliseconds, then the loop has its turn
MAX_PIDS_LOOKED_AT = 200
SAY_WITHIN_S = 20.0  # a busy engine may take so long to read what a step printed before
_LAYER = re.compile(r"/overlay2/([^/,:]+)/(?:diff|merged)(?:$|,)")
_UPPER = re.compile(r"(?:^|,)upperdir=([^,]+)")


@dataclass(frozen=True)
class RunningStep:
    """A step that runs.

    Attributes:
        name: of its control group; BuildKit never uses one again.
        init: its first process, the end of which ends all others.
        runner: runc, outside of the step; it holds the step's output. 0 if not found.
        layer: the directory of its own writes.
        mounts: other directories that it writes to, which earlier steps may have filled.
    """

    name: str
    init: int
    runner: int
    layer: Path | None
    mounts: tuple[Path, ...] = ()


@dataclass
class Written:
    """Bytes that one step has written; `before` holds what its mounts held when they were measured first."""

    before: dict[Path, int] = field(default_factory=dict)

    async def measure(self, step: RunningStep) -> int:
        """Now. Counts blocks on the disk, at least LEAST_FILE_BYTES a file, and deleted files that are still open."""
        total = await size_of(step.layer) if step.layer else 0
        for mount in step.mounts:
            size = await size_of(mount)
            total += max(0, size - self.before.setdefault(mount, size))
        return total


def running(hierarchy: Hierarchy, group: str, data_root: Path) -> list[RunningStep]:
    """The steps in the control group of all builds, `group`."""
    return [step for name in names(hierarchy, group) if (step := _step(hierarchy, f"{group}/{name}", name, data_root))]


def names(hierarchy: Hierarchy, group: str) -> list[str]:
    """Of the steps that run or end now."""
    place = hierarchy.group("pids", group) or hierarchy.group("memory", group)
    try:
        return [one.name for one in os.scandir(place) if one.is_dir()] if place else []
    except OSError:
        return []


def processes_of(hierarchy: Hierarchy, group: str) -> int:
    """Processes and threads in a control group; 0 when that is not known."""
    return _number(_read(hierarchy, group, "pids.current"))


def refused_processes_of(hierarchy: Hierarchy, group: str) -> int:
    """How many starts of a process were refused in a control group at its bound so far; 0 when that is not known."""
    return _number(_read(hierarchy, group, "pids.events").removeprefix("max "))


def _read(hierarchy: Hierarchy, group: str, file: str) -> str:
    place = hierarchy.group("pids", group)
    try:
        return (place / file).read_text() if place else ""
    except OSError:
        return ""


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0


def arguments(step: RunningStep) -> list[str]:
    """Of the step's first process; none when it has ended."""
    try:
        words = Path(f"/proc/{step.init}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
    return words[:-1]


async def size_of(folder: Path) -> int:
    """Bytes of all files in a directory of the builder, without following links. Gives way to other work meanwhile."""
    total, turn, linked = 0, 0, set[int]()
    folders = [folder]
    while folders:
        try:
            entries = os.scandir(folders.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                        if found.st_ino in linked:
                            continue
                        linked.add(found.st_ino)
                    total += max(LEAST_FILE_BYTES, found.st_blocks * 512)
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(Path(entry.path))
                turn += 1
                if turn % ENTRIES_A_TURN == 0:
                    await asyncio.sleep(0)
    return total


async def open_deleted_bytes(hierarchy: Hierarchy, group: str) -> int:
    """Bytes of files that nobody finds any more, and a step's processes hold open."""
    total, seen = 0, set[tuple[int, int]]()
    for pid in list(_pids(hierarchy, group))[:MAX_PIDS_LOOKED_AT]:
        with contextlib.suppress(OSError):
            for opened in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    found = opened.stat()
                    if stat.S_ISREG(found.st_mode) and not found.st_nlink and (found.st_dev, found.st_ino) not in seen:
                        seen.add((found.st_dev, found.st_ino))
                        total += found.st_blocks * 512
        await asyncio.sleep(0)
    return total


async def end(step: RunningStep, hit: BoundHit) -> bool:
    """Kill a step, and write the reason as the last line of its output. False if it had ended.

    The output is a pipe that BuildKit reads until the last writer has closed it. So it is opened before the kill, and
    written after it: nothing comes later, and a pipe that was full is drained.
    """
    output = None
    with contextlib.suppress(OSError):
        output = os.open(f"/proc/{step.runner or step.init}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.kill(step.init, signal.SIGKILL)
    except OSError:
        return False
    finally:
        if output is not None:
            await _write(output, f"\n{hit.line}\n".encode())
            os.close(output)
    return True


async def _write(output: int, line: bytes) -> None:
    deadline = time.monotonic() + SAY_WITHIN_S
    while time.monotonic() < deadline:
        try:
            os.write(output, line)  # below PIPE_BUF: as a whole or not at all
        except BlockingIOError:
            await asyncio.sleep(0.01)
        except OSError:
            return
        else:
            return


def _step(hierarchy: Hierarchy, group: str, name: str, data_root: Path) -> RunningStep | None:
    for pid in _pids(hierarchy, group):
        status = _status(pid)
        if status.get("NSpid", "").split()[-1:] == ["1"]:
            parent = int(status.get("PPid", "0"))
            runner = parent if _status(parent).get("Name", "").startswith("runc") else 0
            layer, mounts = _places(pid, data_root)
            return RunningStep(name, pid, runner, layer, mounts)
    return None


def _places(pid: int, data_root: Path) -> tuple[Path | None, tuple[Path, ...]]:
    """The layer and the writable mounts of a process, as directories of this machine."""
    layer, mounts = None, dict[Path, None]()
    with contextlib.suppress(OSError, IndexError):
        # proc_pid_mountinfo(5): 4 is the root within the file system, 5 the mount point, 6 its options; the last one
        # holds those of the file system
        for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
            words = line.split()
            if words[4] == "/":
                upper = _UPPER.search(words[-1])
                layer = Path(upper[1]) if upper else None
            elif (found := _LAYER.search(words[3])) and "rw" in words[5].split(","):
                mounts[data_root / "overlay2" / found[1] / "diff"] = None
    return layer, tuple(mounts)


def _pids(hierarchy: Hierarchy, group: str) -> Iterator[int]:
    place = hierarchy.group("pids", group) or hierarchy.group("memory", group)
    try:
        yield from map(int, (place / "cgroup.procs").read_text().split() if place else ())
    except OSError:
        return


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
