"""Writing the small files of the run directory, also on a full disk: a process that was killed must come back there."""

import errno
import os
from pathlib import Path

# What a full disk says.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def replace(path: Path, text: str) -> None:
    """Give a file this text, 0600, in one step, so that a reader never sees half of it. Unchanged, it is left alone.

    On a full disk, an existing file is overwritten in its place, which takes no space unless it grows by a block.

    Raises:
        OSError: with the path; the disk is full and there is no such file yet, or it can't be written at all.
    """
    if _reads(path) == text:
        return
    temporary = path.with_name(path.name + ".new")
    try:
        _write(temporary, text, os.O_TRUNC | os.O_CREAT)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno not in FULL or not path.exists():
            raise OSError(error.errno, error.strerror, str(path)) from error
        _write(path, text, 0)


def _reads(path: Path) -> str | None:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return None


def _write(path: Path, text: str, flags: int) -> None:
    data = text.encode()
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
    try:
        # one call: where it fails for want of space, the old content is whole
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.ftruncate(fd, len(data))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(fd)
