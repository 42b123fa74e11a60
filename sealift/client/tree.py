"""The entries of a build context: files, directories and links, with their archive metadata. Pure."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

# The range that both tar and zip support in any time zone; builds may zip the files, e.g. into wheels.
OLDEST_S = 315_619_200  # 1980-01-02
NEWEST_S = 4_354_732_799  # 2107-12-30 23:59:59


class Kind(Enum):
    """The kind of an entry. Sockets, pipes and devices are never part of a context."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"


class Stamp(NamedTuple):
    """File metadata that changes with the content. Times in epoch nanoseconds, by the file system's clock."""

    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True)
class Entry:
    """One path of a context.

    Attributes:
        path: relative to the context, with slashes.
        kind: what it is.
        size_bytes: of a file, else 0.
        mode: permission bits with setuid, setgid and sticky; 0777 of a link.
        mtime_s: its time in the archive, epoch seconds, between OLDEST_S and NEWEST_S.
        target: of a symbolic link, else "".
        stamp: of a file on disk, else None.
        content: of a generated file, which is not on disk; else None.
    """

    path: str
    kind: Kind
    size_bytes: int = 0
    mode: int = 0o755
    mtime_s: int = OLDEST_S
    target: str = ""
    stamp: Stamp | None = None
    content: bytes | None = None


def entry_of(path: str, info: os.stat_result, target: str = "") -> Entry | None:
    """The entry of a path with this stat result; None for sockets, pipes and devices."""
    mode, mtime_s = stat.S_IMODE(info.st_mode), clamped(info.st_mtime_ns // 10**9)
    if stat.S_ISLNK(info.st_mode):
        return Entry(path, Kind.LINK, mode=0o777, mtime_s=mtime_s, target=target)
    if stat.S_ISDIR(info.st_mode):
        return Entry(path, Kind.DIRECTORY, mode=mode, mtime_s=mtime_s)
    if stat.S_ISREG(info.st_mode):
        return Entry(path, Kind.FILE, info.st_size, mode, mtime_s, stamp=stamp_of(info))
    return None


def generated_entry(path: str, content: bytes) -> Entry:
    """A file that is not on disk; it has the oldest time, so that the same content gives the same archive."""
    return Entry(path, Kind.FILE, len(content), mode=0o644, content=content)


def stamp_of(info: os.stat_result) -> Stamp:
    """The stamp in a stat result."""
    return Stamp(info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


def clamped(mtime_s: int) -> int:
    """The nearest time that an archive supports."""
    return min(max(mtime_s, OLDEST_S), NEWEST_S)


def parents(path: str) -> Iterator[str]:
    """The directories above a path, nearest first, without the root."""
    while "/" in path:
        path = path.rsplit("/", 1)[0]
        yield path


def with_directory_mtimes(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries, each directory with the time of the newest file or link below it; empty ones keep their own.

    A directory's own time changes with excluded files, so an unchanged tree would look changed.
    """
    entries = tuple(entries)
    newest: dict[str, int] = {}
    for entry in entries:
        if entry.kind is not Kind.DIRECTORY:
            for parent in parents(entry.path):
                newest[parent] = max(newest.get(parent, OLDEST_S), entry.mtime_s)
    return tuple(
        replace(entry, mtime_s=newest[entry.path]) if entry.kind is Kind.DIRECTORY and entry.path in newest else entry
        for entry in entries
    )
