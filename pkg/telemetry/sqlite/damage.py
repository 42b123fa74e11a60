"""A telemetry file that can't be used as one: set aside under another name, so that a new one may begin.

What is damage: a path that is no file, bytes that are no SQLite database, pages that contradict each other, other
tables than ours. What is not: a file that is locked, a disk that is full or read-only, missing permission. That passes
or is repaired by the operator, and the file stays where it is.
"""

import contextlib
import fcntl
import glob
import logging
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from pkg.observability.logging import fields

# Damaged build logs to keep: more of them do not help, and a disk that damages every file must not fill up.
KEPT = 3
_SIDE_FILES = ("-wal", "-shm", "-journal")
# SQLITE_ERROR: a statement of ours doesn't fit the tables. All are fixed, so the tables are not ours, or are gone.
_DAMAGE = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_NOTADB})

log = logging.getLogger(__name__)


class DamagedError(Exception):
    """The file can't be used, and will not become usable by itself; `str()` says why."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the content of the file is at fault."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGE


def check_kind(path: Path) -> None:
    """Raises DamagedError when the path, or that of its journal, exists and is no regular file."""
    for each in (path, *(_side(path, suffix) for suffix in _SIDE_FILES)):
        try:
            mode = each.stat().st_mode
        except FileNotFoundError:
            if each.is_symlink():
                raise DamagedError(f"{each} is a link to nothing") from None
            continue
        if not stat.S_ISREG(mode):
            raise DamagedError(f"{each} is no regular file")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Held to open the file or to set it aside: SQLite finds journals by name, and must not meet an old one.

    Raises:
        OSError: the lock file next to it can't be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(_side(path, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def set_aside(path: Path, why: str) -> Path:
    """Renames the file and its journal to `<name>.damaged-<UTC time>`, says so in the log; the new name.

    Call it with the path `locked`. The newest three damaged files are kept.

    Raises:
        OSError: the directory can't be written.
    """
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    while os.path.lexists(aside):
        aside = aside.with_name(f"{aside.name}x")
    for suffix in (*_SIDE_FILES, ""):
        if os.path.lexists(_side(path, suffix)):
            _side(path, suffix).rename(_side(aside, suffix))
    log.error(
        "the store of build logs was damaged (%s): it was set aside as %s, and a new one begins. Older build logs "
        "are in that file only", why, aside, extra=fields(path=str(path)),
    )  # fmt: skip
    _forget_old(path)
    return aside


def damaged_files(path: Path) -> list[Path]:
    """What was set aside, the oldest first."""
    found = path.parent.glob(f"{glob.escape(path.name)}.damaged-*")
    return sorted(each for each in found if not each.name.endswith(_SIDE_FILES))


def _forget_old(path: Path) -> None:
    for old in damaged_files(path)[:-KEPT]:
        for each in (old, *(_side(old, suffix) for suffix in _SIDE_FILES)):
            with contextlib.suppress(OSError):
                if each.is_dir() and not each.is_symlink():
                    shutil.rmtree(each)
                else:
                    each.unlink()


def _side(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
