"""Small private cache files, written atomically, limited in number and age.

They are in `$XDG_CACHE_HOME/sealift/<kind>` (default `~/.cache`): directories 0700, files 0600. A file that is missing,
damaged, old, or writable by another user is ignored. Write errors are reported as False.
"""

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from sealift.client.private_files import UNFINISHED, make_directory, replace

MAX_RECORDS = 64
MAX_AGE_S = 30 * 24 * 3600
MAX_UNFINISHED_AGE_S = 3600
_SUM_CHARS = 64


class CacheFiles:
    """The cache files of one kind. Blocking.

    Args:
        kind: the name of their directory.
        max_bytes: of one file; larger ones are ignored and not written.
        env: environment variables, for XDG_CACHE_HOME.
        home: the user's home; None: from the system.
    """

    def __init__(
        self, kind: str, max_bytes: int, env: Mapping[str, str] = os.environ, home: Path | None = None
    ) -> None:
        self._directory = _directory(kind, env, home)
        self._max_bytes = max_bytes

    def read(self, *of: bytes) -> bytes | None:
        """The content stored under the key `of`; None if there is none, or none that is trusted."""
        if self._directory is None:
            return None
        try:
            content = _read_private(self._directory / _name(of), self._max_bytes)
        except OSError:
            return None
        record, found = content[:-_SUM_CHARS], content[-_SUM_CHARS:]
        return record if _sum(record) == found else None

    def write(self, record: bytes, *of: bytes) -> bool:
        """Store content under the key `of`, with a checksum; False if it can't be written."""
        content = record + _sum(record)
        if self._directory is None or len(content) > self._max_bytes:
            return False
        try:
            make_directory(self._directory)
            replace(self._directory / _name(of), content)
            _prune(self._directory)
        except OSError:
            return False
        return True


def _directory(kind: str, env: Mapping[str, str], home: Path | None) -> Path | None:
    named = env.get("XDG_CACHE_HOME", "")
    try:
        # the XDG specification requires relative paths to be ignored
        base = Path(named) if named.startswith("/") else (home or Path.home()) / ".cache"
    except RuntimeError:  # no home
        return None
    return base / "sealift" / kind if base.is_absolute() else None


def _sum(record: bytes) -> bytes:
    """The checksum of a record."""
    return hashlib.sha256(record).hexdigest().encode()


def _name(of: tuple[bytes, ...]) -> str:
    """The file name: a digest, so that directory names are not stored."""
    return hashlib.sha256(b"\0".join(of)).hexdigest()[:32]


def _read_private(path: Path, max_bytes: int) -> bytes:
    """The content of a file that only this user can write. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o022:
            raise PermissionError(path)
        if info.st_mtime < time.time() - MAX_AGE_S or info.st_size > max_bytes:
            raise FileNotFoundError(path)
        return file.read(max_bytes)


def _prune(directory: Path) -> None:
    """Delete old files, the oldest of too many, and unfinished files of killed processes."""
    with os.scandir(directory) as listing:
        ages = sorted((time.time() - entry.stat(follow_symlinks=False).st_mtime, entry.path) for entry in listing)
    for number, (age_s, path) in enumerate(ages):
        is_unfinished = Path(path).name.startswith(UNFINISHED)
        if number >= MAX_RECORDS or age_s > (MAX_UNFINISHED_AGE_S if is_unfinished else MAX_AGE_S):
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108
