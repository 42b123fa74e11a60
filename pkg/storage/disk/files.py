"""The files of a Disk store: blocking functions, run in the store's own threads.

The object `contexts/p/x.tar.gz` is the file `<root>/contexts/p/x.tar.gz/@<sha256>`: the verified hash is the file's
name, so that it can neither be lost nor disagree with its object. No path segment starts with "@". A file appears by a
rename after fsync: readers see all of it or nothing, also after a power loss.
"""

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pkg.errors import ResourceExhausted, Unavailable
from pkg.storage.port import SHA256_HEX, ObjectInfo

CHUNK_BYTES = 1 << 20
ABANDONED_AFTER_S = 3600
# What must stay free: the same file system usually holds the control plane's databases.
RESERVE_BYTES = 64 << 20


def disk_full(size_bytes: int, free_bytes: int) -> ResourceExhausted:
    """The error for a disk that cannot take an object."""
    return ResourceExhausted(
        "object.disk_full",
        f"the object store's disk is full: {size_bytes} bytes are wanted and {free_bytes} are free"
        f" ({RESERVE_BYTES} stay reserved). Free space on the server, then upload again",
    )


@contextmanager
def _full_disk_told(size_bytes: int) -> Iterator[None]:
    """A disk without room, or without inodes, is `object.disk_full`, wherever it shows."""
    try:
        yield
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(size_bytes, 0) from e
        raise


@dataclass(frozen=True, slots=True)
class Stored:
    """An object and the file that holds it. The file may be deleted at any time; an open one stays readable."""

    info: ObjectInfo
    file: Path


class Upload:
    """A file being written. Its blocking methods belong in the store's executor, one call at a time."""

    def __init__(self, store_root: Path, path: str, size_bytes: int) -> None:
        self._root = store_root
        self._path = path
        self._digest = hashlib.sha256()
        self.written = 0
        usage = os.statvfs(store_root)
        free = usage.f_bavail * usage.f_frsize
        if size_bytes + RESERVE_BYTES > free:
            raise disk_full(size_bytes, free)
        self._size_bytes = size_bytes
        self._temporary = store_root / ".tmp" / secrets.token_hex(16)
        with _full_disk_told(size_bytes):
            self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes | bytearray) -> None:
        """Appends.

        Raises:
            ResourceExhausted: `object.disk_full`.
        """
        self._digest.update(data)
        view = memoryview(data)
        with _full_disk_told(self._size_bytes):
            while view:
                view = view[os.write(self._fd, view) :]
        self.written += len(data)

    def sha256(self) -> str:
        """Hex digest of what was written so far."""
        return self._digest.hexdigest()

    def commit(self) -> None:
        """Makes the object visible, durably. The same content is already there: that stays, with its date.

        Raises:
            ResourceExhausted: `object.disk_full`.
        """
        with _full_disk_told(self._size_bytes):
            self._commit()

    def _commit(self) -> None:
        folder = self._root / self._path
        final = folder / f"@{self.sha256()}"
        os.fsync(self._fd)
        self._close()
        if final.exists():
            self._temporary.unlink()
            return
        changed = {folder}
        for _ in range(10):
            try:
                changed |= _make_folders(self._root, self._path)
                self._temporary.rename(final)
                break
            except FileNotFoundError:
                continue  # a delete of a neighbour has just removed the empty folder
        else:
            raise FileNotFoundError(final)
        for old in folder.glob("@*"):
            if old != final:
                old.unlink(missing_ok=True)
        for one in changed:
            _sync_directory(one)

    def abort(self) -> None:
        """Removes what was written. Fine after `commit`, too."""
        self._close()
        self._temporary.unlink(missing_ok=True)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _make_folders(root: Path, path: str) -> set[Path]:
    """Makes what is missing; the folders that got a new entry by that."""
    changed = set()
    folder = root
    for segment in path.split("/"):  # not parents=True: that gives the folders between another mode
        parent, folder = folder, folder / segment
        try:
            folder.mkdir(mode=0o700)
            changed.add(parent)
        except FileExistsError:
            continue
    return changed


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def prepare(root: Path) -> None:
    """Makes the directory (0700) and removes what killed processes left half-written an hour or more ago."""
    temporary = root / ".tmp"
    for folder in (root, temporary):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in temporary.iterdir():
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time.time() - ABANDONED_AFTER_S:
                left.unlink()


def check(root: Path) -> None:
    """Raises Unavailable `object.unavailable` when the directory can't be read or written by this process."""
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise Unavailable(
            "object.unavailable",
            f"the folder of the object store, {root}, is missing, or this process may not read and write it: mount it,"
            " and give it to the user that runs api and worker",
        )


def find(root: Path, path: str) -> Stored | None:
    """The object and its file, or None."""
    # two files: a crash came between the rename of the new one and the removal of the old one; the newer one counts
    found: Stored | None = None
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(root / path) as entries:
        for entry in entries:
            sha256 = entry.name[1:]
            if entry.name[0] != "@" or not SHA256_HEX.fullmatch(sha256):
                continue
            stat = entry.stat(follow_symlinks=False)
            info = ObjectInfo(path, stat.st_size, sha256, sha256, stat.st_mtime_ns // 1_000_000)
            if found is None or info.modified_at > found.info.modified_at:
                found = Stored(info, Path(entry.path))
    return found


def delete(root: Path, path: str) -> None:
    """Removes the object and the folders that it leaves empty. Idempotent."""
    folder = root / path
    for file in folder.glob("@*"):
        file.unlink(missing_ok=True)
    while folder != root:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:  # not empty
            return
        folder = folder.parent


def list_below(root: Path, prefix: str) -> list[ObjectInfo]:
    """Every object below the folder `prefix` ("" for all), ordered by path."""
    found = []
    for folder, folders, files in os.walk(root / prefix):
        if ".tmp" in folders:
            folders.remove(".tmp")
        if any(name.startswith("@") for name in files):
            stored = find(root, Path(folder).relative_to(root).as_posix())
            if stored:
                found.append(stored.info)
    return sorted(found, key=lambda info: info.path)


def copy(source: Path, to: Path) -> None:
    """Copies to a new file of mode 0600; nothing is left there on failure."""
    fd = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as write:
        try:
            with source.open("rb") as read:
                shutil.copyfileobj(read, write, CHUNK_BYTES)
        except BaseException:
            to.unlink(missing_ok=True)
            raise
