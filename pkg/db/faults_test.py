"""What the database says on a real full disk."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from pkg.db import Database
from pkg.db.faults import DiskFullError
from pkg.installation.tables import installation


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount)], check=True)
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


async def test_a_full_disk_is_told_with_the_path(disk: Path) -> None:
    """Promise: a write fails with the path of the database and changes nothing; reads work; free space ends it."""
    db = Database.open(f"sqlite:///{disk / 'control.db'}")
    await db.migrate()
    await db.check_writes()
    row = {"row": 1, "installation_id": "inst_" + "x" * 100_000, "epoch": "e", "created_at": 1}
    _fill(disk / "filler")
    with pytest.raises(DiskFullError) as caught:
        await db.write(lambda connection: connection.execute(insert(installation).values(row)))
    assert caught.value.path == str(disk / "control.db")
    with pytest.raises(OSError, match="No space") as refused:
        await db.check_writes()
    assert refused.value.filename == str(disk / "control.db")
    assert await db.read(lambda connection: connection.execute(select(installation)).all()) == []
    (disk / "filler").unlink()
    await db.write(lambda connection: connection.execute(insert(installation).values(row)))
    await db.check_writes()
    await db.close()


def _fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
