"""A lock that a process holds by a file: the kernel releases it when the holder ends, however it ends (flock(2)).

Raises OSError when the file can't be opened.
"""

import fcntl
import os
from pathlib import Path


def acquire(path: Path) -> int | None:
    """Hold the lock until the returned file descriptor is closed, or this process ends; None: another one holds it.

    The file is made if it is missing, 0600, and stays.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
