"""The run directory on a full disk, on a real one: a tmpfs of a few pages."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from svc.standalone.children import Child
from svc.standalone.detach import detach
from svc.standalone.files import replace
from svc.standalone.logfiles import open_log, trim
from svc.standalone.notes import disk_note
from svc.standalone.process import end, read_pidfile
from svc.standalone.statedir import StateDir


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of 128 KiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(mount)], check=True)
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    assert os.statvfs(disk).f_bavail == 0


def test_a_file_is_replaced_on_a_full_disk(disk: Path) -> None:
    """Promise: what was there is overwritten whole; what was not there fails with the path."""
    replace(disk / "a", "first version")
    fill(disk)
    replace(disk / "a", "second")
    assert (disk / "a").read_text() == "second"
    assert (disk / "a").stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match=str(disk / "b")):
        replace(disk / "b", "x" * 5000)
    assert sorted(path.name for path in disk.iterdir() if path.name.endswith(".new")) == []


async def test_a_killed_part_starts_on_a_full_disk(disk: Path) -> None:
    """Promise: neither a pidfile nor a log nor temporary files hold up a process, a child or a detached one."""
    scratch, log = disk / "scratch", disk / "log"
    child = Child(["/bin/sleep", "60"], log_path=log, pidfile=disk / "child.pid", cwd=disk, env={}, scratch=scratch)
    first = child.launch()
    fill(disk)
    assert await end(first, 5.0)
    child.collect()
    second = child.launch()
    assert read_pidfile(disk / "child.pid") == second
    assert await end(second, 5.0)
    child.collect()
    fresh = detach(["/bin/sleep", "60"], pidfile=disk / "d.pid", log_path=disk / "d.log", env={}, cwd=Path("/"))
    assert await end(fresh, 5.0)


def test_status_tells_of_a_full_disk(disk: Path) -> None:
    """Promise: `status` shows the cause at once; also for a disk without inodes."""
    assert "is full" in disk_note(StateDir(disk))  # it has less than a MiB in all
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    assert disk_note(StateDir(disk)) == ""
    subprocess.run(["mount", "-o", "remount,nr_inodes=1", str(disk)], check=True)
    assert "is full" in disk_note(StateDir(disk))


def test_a_full_log_is_emptied_on_a_full_disk(disk: Path) -> None:
    """Promise: the bound of log files gives space back where there is none for a copy."""
    log = disk / "api.log"
    os.write(fd := open_log(log), b"x" * 20_000)
    fill(disk)
    assert trim(log, 10_000)
    assert log.stat().st_size == 0
    os.write(fd, b"more\n")
    os.close(fd)
    assert log.read_text() == "more\n"
