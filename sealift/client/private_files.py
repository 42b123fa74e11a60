"""Files that belong to one user: written atomically with mode 0600, below folders of mode 0700."""

import contextlib
import os
import tempfile
from pathlib import Path

UNFINISHED = "new-"  # begins the name of a file that is being written


def make_directory(directory: Path) -> None:
    """Create missing directories. Never in another user's home: `sudo` keeps HOME, and would create root's files.

    Raises:
        OSError: it can't be made; PermissionError: the nearest one that exists belongs to another user.
    """
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if there.stat().st_uid != os.geteuid():
        raise PermissionError(there)
    for path in reversed((directory, *directory.parents)):
        if len(path.parts) > len(there.parts):
            path.mkdir(mode=0o700, exist_ok=True)


def replace(path: Path, content: bytes) -> None:
    """Write a file (mode 0600): readers see the old content or the new one. Raises OSError."""
    descriptor, unfinished = tempfile.mkstemp(prefix=UNFINISHED, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(unfinished, path)  # noqa: PTH105 - a name from mkstemp
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)  # noqa: PTH108
        raise
